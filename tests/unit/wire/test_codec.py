"""MLflow's JSON: what is encoded decodes to the same message, and MLflow's own spelling is understood."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given
from hypothesis import strategies as st
from mlflow.protos import service_pb2

from tracklight.wire.codec import decode, encode, query_of
from tracklight.wire.endpoints import ENDPOINTS
from tracklight.wire.messages import GetMetricHistory, LogBatch, Metric, Param, RunAnswer, Tag

texts = st.text(st.characters(exclude_categories=["Cs"]))
int64s = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True)
batches = st.builds(
    LogBatch,
    run_id=texts,
    metrics=st.lists(st.builds(Metric, texts, floats, int64s, int64s)).map(tuple),
    params=st.lists(st.builds(Param, texts, texts)).map(tuple),
    tags=st.lists(st.builds(Tag, texts, texts)).map(tuple),
)


def bits(value: float) -> str | bytes:
    return "NaN" if math.isnan(value) else struct.pack(">d", value)


def comparable(batch: LogBatch) -> tuple[Any, ...]:
    points = tuple((m.key, bits(m.value), m.timestamp_ms, m.step) for m in batch.metrics)
    return (batch.run_id, points, batch.params, batch.tags)


@given(batches)
def test_a_batch_comes_back_bit_for_bit(batch: LogBatch) -> None:
    assert comparable(decode(encode(batch), LogBatch)) == comparable(batch)


@given(batches)
def test_protobuf_reads_what_we_write_and_we_read_what_it_writes(batch: LogBatch) -> None:
    message = ParseDict(json.loads(encode(batch)), service_pb2.LogBatch())
    written = json.dumps(MessageToDict(message, preserving_proto_field_name=True))
    assert comparable(decode(written.encode(), LogBatch)) == comparable(batch)


@pytest.mark.parametrize(
    ("value", "spelling"), [(math.nan, '"NaN"'), (math.inf, '"Infinity"'), (-math.inf, '"-Infinity"')]
)
def test_values_that_json_lacks_are_spelled_as_protobuf_does(value: float, spelling: str) -> None:
    encoded = encode(Metric("null", value, 1))
    assert encoded == f'{{"key":"null","value":{spelling},"timestamp":1}}'.encode()
    assert bits(decode(encoded, Metric).value) == bits(value)


def test_a_64_bit_integer_may_be_a_number_or_a_string() -> None:
    as_number = decode(b'{"key":"k","value":1,"timestamp":9223372036854775807}', Metric)
    assert decode(b'{"key":"k","value":1,"timestamp":"9223372036854775807"}', Metric) == as_number


def test_fields_of_a_newer_server_are_ignored() -> None:
    answer = b'{"run":{"info":{"run_id":"r","experiment_id":"1","new":{}},"inputs":{}},"more":[1]}'
    assert decode(answer, RunAnswer).run.info.run_id == "r"


@pytest.mark.parametrize("answer", [b"", b"null", b"[]", b'"text"', b"<html></html>", b"{}", b'{"run":{}}'])
def test_what_is_no_message_is_an_error(answer: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode(answer, RunAnswer)


def test_a_query_leaves_out_what_is_not_set() -> None:
    assert query_of(GetMetricHistory("r", "a b", max_results=3)) == [
        ("run_id", "r"),
        ("metric_key", "a b"),
        ("max_results", "3"),
    ]


def test_each_endpoint_has_a_name_and_a_path_of_its_own() -> None:
    assert len({e.name for e in ENDPOINTS}) == len({e.full_path for e in ENDPOINTS}) == len(ENDPOINTS)
