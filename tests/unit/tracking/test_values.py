"""What people log, and what a server has of it in the end."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracklight.errors import (
    ArtifactError,
    InvalidKeyError,
    InvalidValueError,
    NoActiveRunError,
    TracklightError,
)
from tracklight.testing.faulty_server import FaultyServer
from tracklight.testing.stored import StoredRun
from tracklight.tracking.mlflow_tracker import MLflowTracker
from tracklight.tracking.values import check_key, clean_text, flatten, metric_value, step_number

Stored = Callable[[], list[StoredRun]]
MakeTracker = Callable[..., MLflowTracker]


class Tensor:
    """What torch's tensors have in common with this: ``item()`` of one element."""

    def __init__(self, *values: float) -> None:
        self._values = values

    def item(self) -> float:
        if len(self._values) != 1:
            raise RuntimeError(f"a Tensor with {len(self._values)} elements cannot be converted to Scalar")
        return self._values[0]


@dataclasses.dataclass
class Optimizer:
    name: str
    rate: float


@dataclasses.dataclass
class Config:
    optimizer: Optimizer
    layers: list[int]
    extra: dict[str, object]


NUMBERS = [
    (True, 1.0),
    (False, 0.0),
    (3, 3.0),
    (2**63, 2.0**63),
    (-(2**80), -(2.0**80)),
    (10**400, math.inf),
    (-(10**400), -math.inf),
    (Decimal("0.1"), 0.1),
    (Fraction(1, 4), 0.25),
    (5e-324, 5e-324),
    (-0.0, -0.0),
    (1.7976931348623157e308, 1.7976931348623157e308),
    (np.float32(0.5), 0.5),
    (np.float64(0.1), 0.1),
    (np.float16(2.0), 2.0),
    (np.int64(2**62), 2.0**62),
    (np.uint8(7), 7.0),
    (np.bool_(True), 1.0),
    (np.array(2.5), 2.5),
    (np.array([2.5]), 2.5),
    (Tensor(1.25), 1.25),
]


@pytest.mark.parametrize(
    ("value", "expected"), NUMBERS, ids=lambda value: f"{type(value).__name__}-{value}"[:40]
)
def test_a_number_of_any_kind_is_a_metric(value: object, expected: float) -> None:
    found = metric_value(value)
    assert type(found) is float
    assert found == expected
    assert math.copysign(1, found) == math.copysign(1, expected)


@given(st.floats() | st.integers() | st.decimals(allow_nan=False) | st.fractions())
def test_every_number_is_a_metric(value: object) -> None:
    assert isinstance(metric_value(value), float)


@pytest.mark.parametrize(
    "value", ["0.5", None, [1.0], {}, object(), 1j, np.array([1.0, 2.0]), Tensor(1.0, 2.0), b"1"], ids=repr
)
def test_what_is_no_number_is_no_metric(value: object) -> None:
    with pytest.raises(InvalidValueError):
        metric_value(value)


@pytest.mark.parametrize(
    ("step", "expected"), [(None, 0), (3, 3), (3.0, 3), (np.int32(5), 5), (-1, -1), (2**62 + 1, 2**62 + 1)]
)
def test_a_step_is_a_whole_number(step: object, expected: int) -> None:
    assert step_number(step) == expected


@pytest.mark.parametrize("step", [0.5, math.nan, math.inf, "1"])
def test_what_is_no_whole_number_is_no_step(step: object) -> None:
    with pytest.raises(InvalidValueError):
        step_number(step)


@given(st.text())
def test_any_text_can_be_stored(text: str) -> None:
    cleaned = clean_text(text)
    cleaned.encode("utf-8")
    assert len(cleaned) == len(text)


@given(
    st.recursive(
        st.integers() | st.text(max_size=5),
        lambda inner: st.dictionaries(st.text(min_size=1, max_size=5), inner, min_size=1),
    )
)
def test_a_nested_mapping_has_one_parameter_for_each_leaf(value: object) -> None:
    def leaves(value: object) -> int:
        return sum(map(leaves, value.values())) if isinstance(value, dict) else 1

    assert len(list(flatten("p", value))) == leaves(value)


@pytest.mark.parametrize("key", ["loss", "val/loss", "a.b-c_d: e", "x" * 250, "größe"])
def test_a_name_that_mlflow_takes_is_taken(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize("key", ["", "x" * 251, "a#b", "/a", "../a", "a//b", "a/./b", "a\nb", "a%b"])
def test_a_name_that_mlflow_refuses_is_refused_early(key: str) -> None:
    with pytest.raises(InvalidKeyError):
        check_key(key)


def test_numbers_arrive_as_mlflow_stores_them(tracker: MLflowTracker, stored: Stored) -> None:
    with tracker.start_run("a"):
        for number, (value, _) in enumerate(NUMBERS):
            tracker.log_metric(f"value{number}", value)
        tracker.log_metric("nan", math.nan)
    assert tracker.close()
    (run,) = stored()
    points = {point.key: point.value for point in run.points}
    assert math.isnan(points.pop("nan"))
    for number, (_, expected) in enumerate(NUMBERS):
        # MLflow keeps an infinity as the largest number there is.
        assert points[f"value{number}"] == max(min(expected, 1.7976931348623157e308), -1.7976931348623157e308)
    assert tracker.health().is_healthy


def test_parameters_of_any_shape_arrive_flat(tracker: MLflowTracker, stored: Stored) -> None:
    with tracker.start_run("a"):
        tracker.log_param(
            "config", Config(Optimizer("adam", 0.1), [1, 2], {"deep": {"er": None}, "empty": {}})
        )
        tracker.log_params(
            {"flag": True, "number": np.float32(0.5), "class": Optimizer, "surrogate": "a\udc80b"}
        )
    assert tracker.close()
    params = stored()[0].params
    assert params.pop("class").endswith("Optimizer'>")
    assert params == {
        "config.optimizer.name": "adam",
        "config.optimizer.rate": "0.1",
        "config.layers": "[1, 2]",
        "config.extra.deep.er": "None",
        "config.extra.empty": "{}",
        "flag": "True",
        "number": "0.5",
        "surrogate": "a?b",
    }


def test_a_parameter_of_ten_megabytes_is_an_artifact_and_the_parameter_says_where(
    tracker: MLflowTracker, stored: Stored
) -> None:
    text = "ä" * 5_000_000
    with tracker.start_run("a"):
        tracker.log_param("large", text)
    assert tracker.close()
    (run,) = stored()
    assert run.params["large"].endswith("[5,000,000 characters, whole in artifact params/large.txt]")
    assert (run.artifact_folder / "params/large.txt").read_text("utf-8") == text


@pytest.mark.parametrize(
    ("key", "is_secret"),
    [
        ("password", True),
        ("db_password", True),
        ("API-KEY", True),
        ("apiKey", True),
        ("hf.token", True),
        ("aws_secret_access_key", True),
        ("auth_token", True),
        ("tokenizer", False),
        ("max_tokens", False),
        ("secretary", False),
        ("monkey", False),
        ("passwordless", False),
    ],
)
def test_a_name_says_whether_its_value_is_secret(tracker: MLflowTracker, key: str, is_secret: bool) -> None:
    shown = tracker.tracker.redaction.apply(key, "hunter-two")
    assert (shown == "[redacted]") == is_secret
    assert tracker.tracker.redaction.apply(key, "100") == "100"


CANARIES = {
    "AWS": "AKIAIOSFODNN7EXAMPLE",
    "GitHub": "ghp_" + "a1B2" * 9,
    "OpenAI": "sk-proj-" + "x9" * 20,
    "Google": "AIza" + "b" * 35,
    "JWT": "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    "key": "-----BEGIN RSA PRIVATE KEY-----\nMIIcanary\n-----END RSA PRIVATE KEY-----",
}


@pytest.mark.parametrize("kind", CANARIES)
def test_a_secret_shows_in_no_journal_no_log_and_on_no_server(
    make_tracker: MakeTracker,
    stored: Stored,
    project: Path,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    caplog.set_level("DEBUG")
    secret = CANARIES[kind]
    tracker = make_tracker(tracking_password="canary-password", tracking_username="me")
    with tracker.start_run("a", tags={"note": f"key {secret} here"}):
        tracker.log_params(
            {"plain": secret, "nested": {"db_password": "canary-value"}, "long": "x" * 7000 + " " + secret}
        )
        tracker.set_tag("url", "postgresql://user:canary-url@host/db")
        tracker.log_metric("loss", 1.0)
    on_disk = b"".join(path.read_bytes() for path in project.rglob("*") if path.is_file())
    assert tracker.close()
    everything = repr(stored()) + caplog.text
    for canary in (
        secret.splitlines()[-2 if "\n" in secret else 0],
        "canary-value",
        "canary-url",
        "canary-password",
    ):
        assert canary not in everything
        assert canary.encode() not in on_disk


def test_what_cannot_be_a_metric_is_a_tag_and_a_count_and_no_error(
    make_tracker: MakeTracker, stored: Stored
) -> None:
    tracker = make_tracker(strict=False)
    with tracker.start_run("a"):
        tracker.log_metric("loss", "high")
        tracker.log_metric("loss", 1.0, step=0.5)
        tracker.log_metrics({"good": 1.0, "bad": None})
        tracker.log_metric("loss", 2.0)
    assert tracker.close()
    (run,) = stored()
    assert {key: value for key, value in run.tags.items() if "invalid" in key} == {
        "tracklight.invalid.loss": "1.0",
        "tracklight.invalid.bad": "None",
    }
    assert [(point.key, point.value) for point in run.points] == [("good", 1.0), ("loss", 2.0)]
    assert tracker.health().mistakes == 3


MISTAKES: list[tuple[Callable[[MLflowTracker], object], type[Exception]]] = [
    (lambda tracker: tracker.log_metric("loss", "high"), InvalidValueError),
    (lambda tracker: tracker.log_metric("a#b", 1.0), InvalidKeyError),
    (lambda tracker: tracker.log_param("a#b", 1), InvalidKeyError),
    (lambda tracker: tracker.set_tag("x" * 300, 1), InvalidKeyError),
    (lambda tracker: tracker.log_artifact("no-such-file"), ArtifactError),
    (lambda tracker: tracker.log_artifacts("no-such-folder"), ArtifactError),
    (lambda tracker: tracker.log_artifact(__file__, "../up"), InvalidValueError),
    (lambda tracker: tracker.start_run("second"), TracklightError),
]


@pytest.mark.parametrize(("mistake", "error"), MISTAKES)
def test_a_mistake_raises_where_the_tracker_is_strict(
    tracker: MLflowTracker, mistake: Callable[[MLflowTracker], object], error: type[Exception]
) -> None:
    with tracker.start_run("a"), pytest.raises(error):
        mistake(tracker)


@pytest.mark.parametrize(("mistake", "error"), MISTAKES)
def test_a_mistake_is_warned_about_counted_and_nothing_else_where_it_is_not(
    make_tracker: MakeTracker,
    stored: Stored,
    caplog: pytest.LogCaptureFixture,
    mistake: Callable[[MLflowTracker], object],
    error: type[Exception],
) -> None:
    tracker = make_tracker(strict=False)
    with tracker.start_run("a"):
        mistake(tracker)
        tracker.log_metric("loss", 1.0, 7)
    assert tracker.close()
    assert tracker.health().mistakes == 1
    assert error.__name__ in caplog.text
    assert (7, 1.0) in next(run for run in stored() if run.name == "a").history("loss")


def test_an_object_whose_text_fails_hurts_nobody(make_tracker: MakeTracker, stored: Stored) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

        __repr__ = __str__

    tracker = make_tracker(strict=False)
    with tracker.start_run("a"):
        tracker.log_param("broken", Broken())
        tracker.set_tag("broken", Broken())
        tracker.log_metric("broken", Broken())
        tracker.log_metric("loss", 1.0)
    assert tracker.close()
    assert stored()[0].history("loss") == [(0, 1.0)]


def test_what_is_logged_outside_a_run_is_kept_and_said_or_raises(
    make_tracker: MakeTracker, tracker: MLflowTracker, stored: Stored
) -> None:
    with pytest.raises(NoActiveRunError):
        tracker.log_metric("loss", 1.0)
    lenient = make_tracker(strict=False)
    lenient.log_metric("loss", 1.0)
    with lenient.start_run("a"):
        lenient.log_metric("loss", 2.0)
    assert lenient.close()
    assert stored()[0].history("loss") == [(0, 2.0)]
    assert lenient.health().mistakes == 1
    assert lenient.health().refused == 1


def test_at_the_size_limit_a_run_says_how_many_points_it_lost(
    make_tracker: MakeTracker, faulty: FaultyServer, stored: Stored
) -> None:
    faulty.stop()
    tracker = make_tracker(strict=False, segment_bytes=1 << 14, journal_bytes=1 << 16)
    with tracker.start_run("a"):
        for step in range(4000):
            tracker.log_metric("loss", 1.0, step)
        tracker.log_param("late", "kept")
        tracker.set_tag("late", "kept")
    dropped = tracker.health().dropped
    assert dropped > 2000
    faulty.start()
    assert tracker.flush(60)
    assert tracker.close()
    (run,) = stored()
    assert run.tags["tracklight.dropped_metrics"] == str(dropped)
    assert len(run.points) == 4000 - dropped
    assert (run.params["late"], run.tags["late"], run.run_status) == ("kept", "kept", "FINISHED")


@pytest.mark.parametrize("kind", ["cpu", "scalar of a graph"])
def test_torch_tensors_are_metrics(kind: str) -> None:
    torch = pytest.importorskip("torch")
    value = torch.tensor(0.5, requires_grad=kind != "cpu")
    assert metric_value(value) == 0.5
