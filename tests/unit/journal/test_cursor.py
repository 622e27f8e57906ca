from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracklight.journal.cursor import Cursor, CursorFile, Refusal, RunLink

texts = st.text(st.characters(exclude_categories=["Cs"]))
links = st.dictionaries(texts, st.builds(RunLink, run_id=texts, experiment_id=texts, artifact_uri=texts))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(next_sequence=st.integers(1, 2**63), links=links, refused=st.integers(0, 9), damaged=st.integers(0, 9))
def test_a_cursor_comes_back_as_it_was_saved(
    tmp_path: Path, next_sequence: int, links: dict[str, RunLink], refused: int, damaged: int
) -> None:
    cursor = Cursor(
        destination="a", next_sequence=next_sequence, links=links, refused=refused, damaged=damaged
    )
    CursorFile(tmp_path, "a").save(cursor)
    assert CursorFile(tmp_path, "a").load() == cursor


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary())
def test_a_cursor_that_cannot_be_read_begins_anew(tmp_path: Path, content: bytes) -> None:
    file = CursorFile(tmp_path, "a")
    file.save(Cursor(destination="a", next_sequence=5))
    (path,) = tmp_path.glob("*.cursor.json")
    path.write_bytes(content)
    assert file.load() == Cursor(destination="a")


def test_each_destination_has_a_cursor_of_its_own(tmp_path: Path) -> None:
    CursorFile(tmp_path, "a").save(Cursor(destination="a", next_sequence=7))
    CursorFile(tmp_path, "b").save(Cursor(destination="b", next_sequence=9))
    assert CursorFile(tmp_path, "a").load().next_sequence == 7
    assert CursorFile(tmp_path, "b").load().next_sequence == 9


def test_what_was_refused_is_kept_and_a_torn_line_hides_no_other(tmp_path: Path) -> None:
    file = CursorFile(tmp_path, "a")
    refusals = [
        Refusal(sequence=number, run_id="run", kind="Param", key="k\n", value="v", reason="no\nway")
        for number in range(3)
    ]
    file.set_aside(refusals[:2])
    with file.refusals_path.open("ab") as lines:
        lines.write(b'{"sequence": 1, "run\n')
    file.set_aside(refusals[2:])
    assert file.refusals() == refusals
    assert file.refusals_path.stat().st_mode & 0o777 == 0o600


def test_nothing_was_refused_where_there_is_no_file(tmp_path: Path) -> None:
    assert CursorFile(tmp_path, "a").refusals() == []
