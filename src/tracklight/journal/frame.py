"""One record on disk: a checksummed frame, and how frames are found again in damaged bytes.

::

    0   4  magic "TLJ" and the version of this format
    4   4  CRC-32 of everything that follows, seeded with the segment's salt
    8   4  length of the payload in bytes
    12  8  sequence number, consecutive within a journal
    20  n  payload: one `Record` as MessagePack
        p  zeros up to a multiple of 8

The salt is random per segment, so bytes that a user logs can never pass for a frame.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from tracklight.model.record import Record

MAGIC = b"TLJ\x01"
HEADER_BYTES = 20
ALIGNMENT = 8

encode_record = msgspec.msgpack.Encoder().encode
decode_record = msgspec.msgpack.Decoder(Record).decode

pack_head = struct.Struct("<4sI").pack
pack_body = struct.Struct("<IQ").pack
_unpack_header = struct.Struct("<4sIIQ").unpack_from


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame whose checksum holds. ``end`` is the offset where the next one may start."""

    sequence: int
    payload: bytes
    start: int
    end: int


def encode_frame(payload: bytes, sequence: int, salt: int) -> bytes:
    """Return the frame of a payload, without the padding behind it."""
    body = pack_body(len(payload), sequence) + payload
    return pack_head(MAGIC, zlib.crc32(body, salt)) + body


def padded(offset: int) -> int:
    """Return the first offset at or after this one where a frame may start."""
    return (offset + ALIGNMENT - 1) & -ALIGNMENT


def scan_frames(data: bytes | memoryview, start: int, salt: int) -> Iterator[Frame]:
    """Yield every frame that is whole, in order of offset, whatever lies between them.

    Damaged bytes are stepped over to the next place where a frame begins and its checksum holds. A
    sequence number never goes back: a frame that would is damage too.
    """
    view = bytes(data) if isinstance(data, memoryview) else data
    offset, last_sequence = padded(start), -1
    while offset + HEADER_BYTES <= len(view):
        frame = _frame_at(view, offset, salt)
        if frame is not None and frame.sequence > last_sequence:
            yield frame
            offset, last_sequence = frame.end, frame.sequence
        else:
            offset = _next_magic(view, offset + ALIGNMENT)


def _frame_at(data: bytes, offset: int, salt: int) -> Frame | None:
    magic, checksum, length, sequence = _unpack_header(data, offset)
    payload_start = offset + HEADER_BYTES
    payload_end = payload_start + length
    if magic != MAGIC or payload_end > len(data):
        return None
    if zlib.crc32(memoryview(data)[offset + 8 : payload_end], salt) != checksum:
        return None
    return Frame(sequence, data[payload_start:payload_end], offset, padded(payload_end))


def _next_magic(data: bytes, start: int) -> int:
    found = data.find(MAGIC, start)
    while found != -1 and found % ALIGNMENT:
        found = data.find(MAGIC, found + 1)
    return len(data) if found == -1 else found
