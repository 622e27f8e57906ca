"""SwanLab, `mode="offline"`: calls go to a queue in memory; a thread writes a `.swanlab` file to be synced later."""

from pathlib import Path

import swanlab
from swanlab.proto.swanlab.record.v1.record_pb2 import Record
from swanlab.sdk.internal.core_python.store import DataStoreError, DataStoreReader

from peers.side import Log, Place, Side, serve


def open_log(place: Place) -> Log:
    run = swanlab.init(project=place.name, mode="offline", log_dir=str(place.folder / "swanlog"))
    return lambda value, step: run.log({"loss": value}, step=step)


def recover(place: Place) -> int:
    """Count the scalar records that the reader of `swanlab sync` finds."""
    return sum(count_scalars(path) for path in (place.folder / "swanlog").glob("run-*/*.swanlab"))


def count_scalars(path: Path) -> int:
    reader = DataStoreReader()
    try:
        reader.open(path)
    except (AssertionError, DataStoreError):  # not even the file's header had been written
        return 0
    return sum(Record.FromString(data).HasField("scalar") for data in reader)


serve(Side(open_log=open_log, recover=recover))
