from __future__ import annotations

from collections import deque

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tracklight.journal.batch import Item, batch_request, items_of, take_batch
from tracklight.model.record import ArtifactFile, Metrics, Params, Record, RunEnd, RunStart, Tags
from tracklight.model.run import MlflowLimit, RunStatus
from tracklight.wire.messages import Metric, Param, Tag

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
values = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["x" * 6000, "é" * 6000, "\x01" * 6000]
)
records = st.one_of(
    st.builds(
        Metrics,
        st.just("run"),
        st.integers(0, 9),
        st.integers(0, 9),
        st.dictionaries(texts, st.floats(allow_nan=False), max_size=40),
    ),
    st.builds(Params, st.just("run"), st.dictionaries(texts, values, max_size=30)),
    st.builds(Tags, st.just("run"), st.dictionaries(texts, values, max_size=30)),
)


def all_batches(items: list[Item]) -> list[list[Item]]:
    batches, rest = [], deque(items)
    while rest:
        batch = take_batch(rest)
        assert batch, "a batch takes one item at least"
        batches.append(batch)
        for _ in batch:
            rest.popleft()
    return batches


@given(st.lists(records, max_size=60))
def test_batches_hold_every_item_once_in_order_within_mlflows_limits(logged: list[Record]) -> None:
    items = [item for sequence, record in enumerate(logged) for item in items_of(sequence, record)]
    batches = all_batches(items)
    assert [item for batch in batches for item in batch] == items
    for batch in batches:
        request = batch_request("r" * 32, batch)
        assert len(request.metrics) <= MlflowLimit.METRICS_PER_BATCH
        assert len(request.params) <= MlflowLimit.PARAMS_PER_BATCH
        assert len(request.tags) <= MlflowLimit.TAGS_PER_BATCH
        assert (
            len(request.metrics) + len(request.params) + len(request.tags) <= MlflowLimit.ENTITIES_PER_BATCH
        )
        assert len(msgspec.json.encode(request)) <= MlflowLimit.BATCH_BYTES or len(batch) == 1


@given(st.lists(records, max_size=30))
def test_a_batch_leaves_the_server_as_single_requests_would(logged: list[Record]) -> None:
    items = [item for sequence, record in enumerate(logged) for item in items_of(sequence, record)]
    by_one: dict[tuple[type, str], object] = {}
    by_batch: dict[tuple[type, str], object] = {}
    for item in items:
        assert isinstance(item.content, (Metric, Param, Tag))
        if isinstance(item.content, Tag):
            by_one[Tag, item.content.key] = item.content.value
    for batch in all_batches(items):
        request = batch_request("run", batch)
        by_batch |= {(Tag, tag.key): tag.value for tag in request.tags}
        assert len({param.key for param in request.params}) == len(request.params)
        assert len({tag.key for tag in request.tags}) == len(request.tags)
    assert by_batch == by_one


def test_a_thousand_metrics_go_in_one_request_and_the_next_in_another() -> None:
    items = [Item(number, Metric("loss", 0.5, number, number)) for number in range(1001)]
    assert [len(batch) for batch in all_batches(items)] == [1000, 1]


def test_a_parameter_whose_value_changes_is_judged_by_the_server() -> None:
    """Dropping the first or the second here would hide the user's mistake."""
    items = [Item(1, Param("rate", "1")), Item(2, Param("rate", "1")), Item(3, Param("rate", "2"))]
    assert [len(batch) for batch in all_batches(items)] == [2, 1]


def test_a_start_an_end_and_a_file_are_no_part_of_a_batch() -> None:
    metric = Item(1, Metric("loss", 1.0, 1, 1))
    for content in (
        RunStart("run", "x", "", "", 1, {}),
        RunEnd("run", RunStatus.FINISHED, 1),
        ArtifactFile("run", "file", "file", 1),
    ):
        assert take_batch([metric, Item(2, content), metric]) == [metric]
        assert take_batch([Item(2, content)]) == []
