from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracklight.journal.frame import (
    ALIGNMENT,
    MAGIC,
    decode_record,
    encode_frame,
    encode_record,
    padded,
    scan_frames,
)
from tracklight.model.record import ArtifactFile, Metrics, Params, RunEnd, RunStart, Tags
from tracklight.model.run import RunStatus

salts = st.integers(0, 2**32 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]))
garbage = st.lists(st.binary(max_size=40) | st.just(MAGIC + b"\xff" * 16) | st.just(MAGIC)).map(b"".join)
records = st.one_of(
    st.builds(
        Metrics,
        texts,
        st.integers(0, 2**63 - 1),
        st.integers(-(2**63), 2**64 - 1),
        st.dictionaries(texts, st.floats(allow_nan=False)),
    ),
    st.builds(Params, texts, st.dictionaries(texts, texts)),
    st.builds(Tags, texts, st.dictionaries(texts, texts)),
    st.builds(
        RunStart,
        texts,
        texts,
        texts,
        texts,
        st.integers(0, 2**63 - 1),
        st.dictionaries(texts, texts),
        st.none() | texts,
        st.booleans(),
        st.none() | texts,
    ),
    st.builds(RunEnd, texts, st.sampled_from(RunStatus), st.integers(0, 2**63 - 1)),
    st.builds(ArtifactFile, texts, texts, texts, st.integers(0, 2**63 - 1)),
)


def aligned(data: bytes) -> bytes:
    return data + bytes(padded(len(data)) - len(data))


@given(records)
def test_a_record_comes_back_as_it_was(record: Metrics) -> None:
    assert decode_record(encode_record(record)) == record


@given(st.lists(st.tuples(st.binary(max_size=200), garbage), max_size=8), salts, garbage)
def test_every_frame_is_found_whatever_lies_between(
    payloads: list[tuple[bytes, bytes]], salt: int, before: bytes
) -> None:
    data = aligned(before)
    for sequence, (payload, rubbish) in enumerate(payloads):
        data += aligned(encode_frame(payload, sequence, salt)) + aligned(rubbish)
    found = list(scan_frames(data, 0, salt))
    assert [(frame.sequence, frame.payload) for frame in found] == list(
        enumerate(payload for payload, _ in payloads)
    )
    assert all(frame.start % ALIGNMENT == 0 and frame.end % ALIGNMENT == 0 for frame in found)


@given(st.binary(max_size=300) | garbage, salts, st.integers(0, 50))
def test_bytes_that_are_no_frames_give_none_and_raise_nothing(data: bytes, salt: int, start: int) -> None:
    assert list(scan_frames(data, start, salt)) == []


@given(st.binary(max_size=100), salts, salts)
def test_a_frame_of_another_segment_is_no_frame(payload: bytes, salt: int, other: int) -> None:
    """Bytes that a user logs, or blocks that a file system gives back, never pass for a record."""
    frame = encode_frame(payload, 1, salt)
    assert len(list(scan_frames(frame, 0, other))) == (salt == other)


@given(st.binary(min_size=1, max_size=60), salts, st.data())
def test_a_frame_with_any_bit_flipped_is_no_frame(payload: bytes, salt: int, data: st.DataObject) -> None:
    frame = bytearray(encode_frame(payload, 7, salt))
    bit = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[bit // 8] ^= 1 << bit % 8
    assert list(scan_frames(bytes(frame), 0, salt)) == []


def test_a_sequence_number_that_goes_back_is_damage() -> None:
    frames = b"".join(aligned(encode_frame(b"x", sequence, 5)) for sequence in (3, 2, 4))
    assert [frame.sequence for frame in scan_frames(frames, 0, 5)] == [3, 4]
