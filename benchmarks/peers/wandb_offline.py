"""wandb, `WANDB_MODE=offline`: calls go to a service process, which writes a `.wandb` file to be synced later."""

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true")

import wandb
from wandb.proto.wandb_internal_pb2 import Record

from peers.side import Log, Place, Side, serve

FILE_HEADER_BYTES = 7
BLOCK_BYTES = 32768
RECORD_HEADER_BYTES = 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def open_log(place: Place) -> Log:
    run = wandb.init(project=place.name, dir=place.folder)
    return lambda value, step: run.log({"loss": value}, step=step)


def recover(place: Place) -> int:
    """Count the history records in the transaction log; `wandb sync` itself needs wandb's own server."""
    log_files = (place.folder / "wandb").glob("offline-run-*/*.wandb")
    records = (Record.FromString(data) for path in log_files for data in read_transaction_log(path))
    return sum(record.HasField("history") for record in records)


def read_transaction_log(path: Path) -> Iterator[bytes]:
    """The complete records of a file in LevelDB's log format, up to its end or its first torn record."""
    content = path.read_bytes()
    at, parts = FILE_HEADER_BYTES, b""
    while at + RECORD_HEADER_BYTES <= len(content):
        room = BLOCK_BYTES - at % BLOCK_BYTES
        if room < RECORD_HEADER_BYTES:
            at += room
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        at += RECORD_HEADER_BYTES
        if kind not in (FULL, FIRST, MIDDLE, LAST) or at + length > len(content):
            return
        parts = content[at : at + length] if kind in (FULL, FIRST) else parts + content[at : at + length]
        at += length
        if kind in (FULL, LAST):
            yield parts


serve(Side(open_log=open_log, recover=recover))
