"""Comparing what the calls of a crash test promised with what a server has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tracklight.model.run import RunStatus, TagKey
from tracklight.testing.crash_plan import Call, content_of, run_name
from tracklight.testing.stored import StoredRun, read_runs

PART = ".part"
"""The end of a file's name while it is uploaded: what a kill leaves of it is no artifact."""


@dataclass(frozen=True, slots=True)
class Witness:
    """A life that is over: the calls it would have made, and how many of them returned."""

    life: int
    calls: list[Call]
    returned: int
    was_killed: bool


@dataclass(slots=True)
class Audit:
    """What was accepted, and what is wrong with what arrived. Each of ``findings`` says one thing that is."""

    accepted: int = 0
    lost: int = 0
    duplicated: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.findings


def audit(database: Path, experiment_name: str, witnesses: Iterable[Witness]) -> Audit:
    """Compare every accepted call with the rows and files of the server."""
    result = Audit()
    runs: dict[str, list[StoredRun]] = {}
    for run in read_runs(database, experiment_name):
        if not run.is_deleted:
            runs.setdefault(run.name, []).append(run)
    for witness in witnesses:
        _check_life(witness, runs, result)
    for name in runs:
        result.findings.append(f"{name} was never started")
    return result


def _check_life(witness: Witness, runs: dict[str, list[StoredRun]], result: Audit) -> None:
    accepted = witness.calls[: witness.returned]
    under_way = list(islice(witness.calls, witness.returned, witness.returned + 1))
    result.accepted += sum(call.records for call in accepted)
    for number in sorted({call.run for call in (*accepted, *under_way) if call.kind == "start"}):
        name = run_name(witness.life, number)
        mine = [call for call in accepted if call.run == number and call.kind != "pause"]
        maybe = [call for call in under_way if call.run == number and call.kind != "pause"]
        twins = runs.pop(name, [])
        if not twins and not mine:
            continue
        if not twins:
            _lose(result, sum(call.records for call in mine), f"{name} is not on the server")
            continue
        if len(twins) > 1:
            result.duplicated += len(twins) - 1
            result.findings.append(f"{name} is on the server {len(twins)} times")
        _check_run(name, twins[0], mine, maybe, result)
        _check_end(name, twins[0], mine, maybe, witness, result)


def _check_run(name: str, run: StoredRun, mine: list[Call], maybe: list[Call], result: Audit) -> None:
    for call in mine:
        if not _has_arrived(call, run):
            _lose(result, 1, f"{name}: {call.kind} {call.key} is lost")
    _check_points(name, run, mine, maybe, result)
    made = {call.key for call in (*mine, *maybe) if call.kind == "artifact"}
    found = {path.name for path in run.artifact_folder.rglob("*")} if run.artifact_folder.is_dir() else set()
    for file in sorted(found - made):
        if not file.endswith(PART):
            result.findings.append(f"{name}: artifact {file} was never logged")


def _has_arrived(call: Call, run: StoredRun) -> bool:
    match call.kind:
        case "param":
            return run.params.get(call.key) == call.text
        case "tag":
            return run.tags.get(call.key) == call.text
        case "artifact":
            return _read(run.artifact_folder / call.key) == content_of(call)
        case _:
            return True


def _check_points(name: str, run: StoredRun, mine: list[Call], maybe: list[Call], result: Audit) -> None:
    rows = Counter((point.key, point.step, point.value) for point in run.points)
    for key, step, value in _points_of(mine):
        if not rows.pop((key, step, value), 0):
            _lose(result, 1, f"{name}: metric {key} step {step} is lost")
    for point in _points_of(maybe):
        rows.pop(point, None)
    for key, step, value in rows:
        result.findings.append(f"{name}: metric {key} step {step} has {value}, which was never logged")
    for (key, step), count in Counter((point.key, point.step) for point in run.points).items():
        if count > 1:
            result.duplicated += count - 1
            result.findings.append(f"{name}: metric {key} step {step} has {count} rows")


def _points_of(calls: list[Call]) -> list[tuple[str, int, float]]:
    return [(key, call.step, value) for call in calls for key, value in call.values]


def _check_end(  # noqa: PLR0917 - the arguments of `_check_run`, and the witness
    name: str, run: StoredRun, mine: list[Call], maybe: list[Call], witness: Witness, result: Audit
) -> None:
    has_ended = any(call.kind == "end" for call in mine)
    may_have_ended = has_ended or any(call.kind == "end" for call in maybe)
    if has_ended and run.run_status is not RunStatus.FINISHED:
        _lose(result, 1, f"{name} has ended, and is {run.run_status} on the server")
    if has_ended or not witness.was_killed or (may_have_ended and run.run_status is RunStatus.FINISHED):
        return
    if run.run_status is not RunStatus.KILLED:
        result.findings.append(f"{name} was left by a killed process, and is {run.run_status} on the server")
    elif TagKey.END_REASON not in run.tags:
        result.findings.append(f"{name} is KILLED without the tag {TagKey.END_REASON}")


def _lose(result: Audit, records: int, finding: str) -> None:
    result.lost += records
    result.findings.append(finding)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
