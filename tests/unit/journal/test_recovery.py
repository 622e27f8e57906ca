"""What a journal gives back after its bytes were cut, flipped, zeroed or lost."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracklight.journal.frame import HEADER_BYTES, encode_frame, padded, scan_frames
from tracklight.journal.reader import Reader
from tracklight.journal.segment import SegmentName, list_segments
from tracklight.model.record import Metrics, Record

Read = Callable[[Path], tuple[list[Record | None], Reader]]
Mixed = Callable[[int], Sequence[Record]]
STRIDE = 89  # a prime, so that every offset within a frame is met


@dataclass(frozen=True)
class Written:
    """A journal of one segment, and where each of its records begins and ends in it."""

    path: Path
    segment: Path
    data: bytes
    records: Sequence[Record]
    places: list[tuple[int, int]]

    def record_at(self, offset: int) -> int | None:
        """Return the number of the record that the byte belongs to, None for padding."""
        return next(
            (number for number, (start, end) in enumerate(self.places) if start <= offset < end), None
        )


@pytest.fixture
def written(write_journal: Callable[..., Path], mixed_records: Mixed) -> Written:
    records = mixed_records(1190)
    path = write_journal(records)
    (name,) = list_segments(path)
    segment = path / str(name)
    data = segment.read_bytes()
    frames = list(scan_frames(data, 0, name.salt))
    assert 64_000 < len(data) < 70_000
    assert len(frames) == len(records)
    places = [(frame.start, frame.start + HEADER_BYTES + len(frame.payload)) for frame in frames]
    return Written(path, segment, data, records, places)


def check_truncations(written: Written, read: Read, sizes: range) -> None:
    ends = [end for _, end in written.places]
    for size in sizes:
        written.segment.write_bytes(written.data[:size])
        records, reader = read(written.path)
        whole = sum(end <= size for end in ends)
        is_torn = whole < len(ends) and written.places[whole][0] < size
        assert (records, reader.damaged, reader.torn) == (written.records[:whole], 0, int(is_torn)), size


def check_flips(written: Written, read: Read, offsets: range) -> None:
    chance = random.Random(1)
    for offset in offsets:
        data = bytearray(written.data)
        data[offset] ^= 1 << chance.randrange(8)
        written.segment.write_bytes(data)
        records, reader = read(written.path)
        hit = written.record_at(offset)
        left = [record for number, record in enumerate(written.records) if number != hit]
        assert (records, reader.damaged + reader.torn) == (left, int(hit is not None)), offset


def test_a_journal_cut_at_any_byte_gives_every_whole_record_and_counts_the_torn_one(
    written: Written, read_journal: Read
) -> None:
    check_truncations(written, read_journal, range(0, len(written.data), STRIDE))


def test_a_journal_cut_at_any_byte_of_its_last_records_is_read_to_there(
    written: Written, read_journal: Read
) -> None:
    check_truncations(written, read_journal, range(len(written.data) - 200, len(written.data) + 1))


@pytest.mark.long
def test_a_journal_of_64_kb_can_be_cut_at_every_byte(written: Written, read_journal: Read) -> None:
    check_truncations(written, read_journal, range(len(written.data)))


def test_a_flipped_bit_loses_the_record_that_it_hits_and_no_other(
    written: Written, read_journal: Read
) -> None:
    check_flips(written, read_journal, range(0, len(written.data), STRIDE))


def test_a_flipped_bit_in_the_last_record_is_counted_too(written: Written, read_journal: Read) -> None:
    check_flips(written, read_journal, range(written.places[-2][0], len(written.data)))


@pytest.mark.long
def test_a_bit_of_every_byte_of_a_64_kb_journal_can_flip(written: Written, read_journal: Read) -> None:
    check_flips(written, read_journal, range(len(written.data)))


@pytest.mark.parametrize("seed", range(20))
def test_a_hole_of_zeros_loses_what_it_covers_and_counts_it(
    written: Written, read_journal: Read, seed: int
) -> None:
    chance = random.Random(seed)
    start = chance.randrange(len(written.data) // 2)
    end = min(start + chance.choice((1, 100, 4096, 20_000)), written.places[-1][0])
    written.segment.write_bytes(written.data[:start] + bytes(end - start) + written.data[end:])
    records, reader = read_journal(written.path)
    lost = {
        number
        for number, (first, last) in enumerate(written.places)
        if first < end and start < last and any(written.data[max(first, start) : min(last, end)])
    }
    assert records == [record for number, record in enumerate(written.records) if number not in lost]
    assert reader.damaged == len(lost)


def test_a_journal_of_a_killed_process_ends_at_its_last_record(written: Written, read_journal: Read) -> None:
    """Its segment was never cut to what is used."""
    written.segment.write_bytes(written.data + bytes(1 << 20))
    records, reader = read_journal(written.path)
    assert (records, reader.damaged, reader.torn) == (written.records, 0, 0)


@pytest.mark.parametrize("missing", [0, 1, -1])
def test_a_missing_segment_loses_its_records_alone(
    write_journal: Callable[..., Path], mixed_records: Mixed, read_journal: Read, missing: int
) -> None:
    records = list(mixed_records(2000))
    path = write_journal(records, segment_bytes=1 << 14)
    names = list_segments(path)
    assert len(names) > 3
    gone = names[missing]
    (path / str(gone)).unlink()
    following = next((name.first_sequence for name in names if name > gone), len(records) + 1)
    found, reader = read_journal(path)
    assert found == records[: gone.first_sequence - 1] + records[following - 1 :]
    # What came after the last record that is there, nobody knows.
    assert reader.damaged == (0 if missing == -1 else following - gone.first_sequence)


def test_an_empty_segment_is_stepped_over(
    write_journal: Callable[..., Path], mixed_records: Mixed, read_journal: Read
) -> None:
    records = list(mixed_records(1000))
    path = write_journal(records, segment_bytes=1 << 14)
    first, second = list_segments(path)[:2]
    (path / str(first)).write_bytes(b"")
    found, reader = read_journal(path)
    assert found == records[second.first_sequence - 1 :]
    assert reader.damaged == second.first_sequence - 1


def test_files_that_are_no_segments_are_left_alone(
    write_journal: Callable[..., Path], mixed_records: Mixed, read_journal: Read
) -> None:
    records = list(mixed_records(3))
    path = write_journal(records)
    for name in ("notes.txt", "zz.tlj", "0000000000000001-xyz.tlj", "00000000000000zz-00000000.tlj"):
        (path / name).write_bytes(b"TLJ\x01")
    assert read_journal(path)[0] == records


def test_a_record_of_a_newer_version_is_given_as_unknown_and_the_rest_is_read(
    write_journal: Callable[..., Path], read_journal: Read
) -> None:
    known = Metrics("run", 1, 1, {"loss": 1.0})
    path = write_journal([known])
    (name,) = list_segments(path)
    append_frames(
        path / str(name),
        name,
        2,
        [["from-the-future", "run", 1], ["m", "run", 2, 2, {"loss": 2.0}, "a new field"]],
    )
    assert read_journal(path)[0] == [known, None, Metrics("run", 2, 2, {"loss": 2.0})]


def append_frames(segment: Path, name: SegmentName, sequence: int, contents: list[list[object]]) -> None:
    data = segment.read_bytes()
    data += bytes(padded(len(data)) - len(data))
    for number, content in enumerate(contents, start=sequence):
        frame = encode_frame(msgspec.msgpack.encode(content), number, name.salt)
        data += frame + bytes(padded(len(frame)) - len(frame))
    segment.write_bytes(data)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(
        st.tuples(
            st.sampled_from(["cut", "flip", "zero", "insert"]),
            st.floats(0, 1),
            st.binary(min_size=1, max_size=64),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_whatever_happens_to_the_bytes_what_is_read_was_written_in_that_order(
    written: Written, read_journal: Read, edits: list[tuple[str, float, bytes]]
) -> None:
    data = bytearray(written.data)
    for kind, place, content in edits:
        at = int(place * (len(data) - 1)) if data else 0
        match kind:
            case "cut":
                del data[at : at + len(content) * 50]
            case "flip" if data:
                data[at] ^= content[0] or 1
            case "zero":
                data[at : at + len(content)] = bytes(len(data[at : at + len(content)]))
            case "insert":
                data[at:at] = content
    written.segment.write_bytes(data)
    records, reader = read_journal(written.path)
    numbers = [written.records.index(record) for record in records if record is not None]
    assert len(numbers) == len(records)
    assert numbers == sorted(set(numbers))
    assert reader.damaged == (numbers[-1] + 1 - len(numbers) if numbers else 0)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_records_come_in_the_same_order_however_few_are_read_at_once(
    write_journal: Callable[..., Path], mixed_records: Mixed, chunk: int
) -> None:
    records = list(mixed_records(700))
    reader = Reader(write_journal(records, segment_bytes=1 << 14), 1)
    found = []
    while entries := reader.read(chunk):
        assert len(entries) <= chunk
        found += [(entry.sequence, entry.record) for entry in entries]
    assert found == list(enumerate(records, start=1))


@pytest.mark.parametrize("first", [1, 2, 350, 699, 700, 701])
def test_reading_goes_on_where_a_cursor_stands(
    write_journal: Callable[..., Path], mixed_records: Mixed, first: int
) -> None:
    records = list(mixed_records(700))
    reader = Reader(write_journal(records, segment_bytes=1 << 14), first)
    assert [entry.record for entry in reader.read(1000)] == records[first - 1 :]
    assert reader.damaged == 0
