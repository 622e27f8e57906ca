"""Who owns a journal, who may read it, and what a fork's child does."""

from __future__ import annotations

import multiprocessing
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tracklight.errors import JournalBusyError, JournalError
from tracklight.journal.folder import (
    JournalFolder,
    JournalInfo,
    delete_debris,
    is_owned,
    list_journals,
    read_info,
)
from tracklight.journal.journal import Journal, JournalLimits
from tracklight.journal.reader import Reader
from tracklight.journal.spool import spool_file, spool_text
from tracklight.model.record import Metrics, Record

Read = Callable[[Path], tuple[list[Record | None], Reader]]


def point(number: int) -> Metrics:
    return Metrics("run", number, number, {"loss": float(number)})


def modes_below(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.rglob("*")
    }


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_folders_are_0700_and_files_0600_whatever_the_umask(
    tmp_path: Path, info: JournalInfo, mask: int
) -> None:
    former = os.umask(mask)
    try:
        source = tmp_path / "model.bin"
        source.write_bytes(b"weights")
        project = tmp_path / "new" / ".tracklight"
        journal = Journal(lambda: JournalFolder.create(project / "journals", info))
        journal.append(point(1))
        assert journal.folder is not None
        spool_file(source, journal.folder.spool, "copy")
        spool_text("text", journal.folder.spool, ".txt")
        journal.close()
        journal.folder.release()
    finally:
        os.umask(former)
    for name, mode in modes_below(tmp_path / "new").items():
        is_folder = (tmp_path / "new" / name).is_dir()
        assert mode == ("0o700" if is_folder else "0o600"), name


def test_a_journal_has_one_owner_at_a_time_in_all_processes(tmp_path: Path, info: JournalInfo) -> None:
    folder = JournalFolder.create(tmp_path, info)
    code = (
        "import sys; from pathlib import Path; from tracklight.errors import JournalBusyError\n"
        "from tracklight.journal.folder import JournalFolder\n"
        "try: JournalFolder.adopt(Path(sys.argv[1])); print('adopted')\n"
        "except JournalBusyError: print('busy')"
    )

    def adopt_elsewhere() -> str:
        command = [sys.executable, "-c", code, str(folder.path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert is_owned(folder.path)
    assert adopt_elsewhere() == "busy"
    with pytest.raises(JournalBusyError):
        JournalFolder.adopt(folder.path)
    folder.release()
    assert not is_owned(folder.path)
    assert adopt_elsewhere() == "adopted"


def test_of_many_processes_that_adopt_at_once_one_succeeds(tmp_path: Path, info: JournalInfo) -> None:
    folder = JournalFolder.create(tmp_path, info)
    folder.release()
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(8), context.SimpleQueue()

    def adopt() -> None:
        barrier.wait()
        try:
            JournalFolder.adopt(folder.path)
            results.put(1)
        except JournalBusyError:
            results.put(0)
        barrier.wait()  # nobody lets go before all have tried

    processes = [context.Process(target=adopt) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sum(results.get() for _ in processes) == 1


def test_a_removed_journal_cannot_be_adopted(tmp_path: Path, info: JournalInfo) -> None:
    folder = JournalFolder.create(tmp_path, info)
    folder.remove()
    assert list_journals(tmp_path) == []
    with pytest.raises(JournalError):
        JournalFolder.adopt(folder.path)


def test_a_journal_is_seen_by_others_only_once_it_is_locked(tmp_path: Path, info: JournalInfo) -> None:
    names = [JournalFolder.create(tmp_path, info) for _ in range(5)]
    assert all(is_owned(path) for path in list_journals(tmp_path))
    assert len(list_journals(tmp_path)) == 5
    for folder in names:
        folder.release()


def test_a_forked_child_writes_a_journal_of_its_own_and_leaves_the_parents_alone(
    tmp_path: Path, info: JournalInfo, read_journal: Read
) -> None:
    journal = Journal(lambda: JournalFolder.create(tmp_path, info), JournalLimits(segment_bytes=1 << 14))
    for number in range(100):
        journal.append(point(number))
    parent = journal.folder
    assert parent is not None
    pid = os.fork()
    if pid == 0:
        try:
            parent.release()
            journal.restart_after_fork()
            for number in range(1000, 1500):
                journal.append(point(number))
            journal.close()
            os._exit(0)
        finally:
            os._exit(1)
    for number in range(100, 700):
        journal.append(point(number))
    assert os.waitpid(pid, 0)[1] == 0
    assert is_owned(parent.path)
    journal.close()
    (child,) = [path for path in list_journals(tmp_path) if path != parent.path]
    assert not is_owned(child)
    assert read_journal(child)[0] == [point(number) for number in range(1000, 1500)]
    assert read_journal(parent.path)[0] == [point(number) for number in range(700)]
    parent.release()


def test_a_child_may_be_forked_while_other_threads_append(tmp_path: Path, info: JournalInfo) -> None:
    """Its copy of the lock may be held by a thread that it does not have."""
    code = """
import os, sys, threading
from pathlib import Path
from tracklight.journal.folder import JournalFolder, JournalInfo
from tracklight.journal.journal import Journal, JournalLimits
from tracklight.model.record import Metrics
info = JournalInfo(destinations=("x",), experiment_name="x", host="h", pid=1, created_ms=1)
journal = Journal(lambda: JournalFolder.create(Path(sys.argv[1]), info), JournalLimits(segment_bytes=1 << 14))
stop = threading.Event()
def work():
    while not stop.is_set():
        journal.append(Metrics("run", 1, 1, {"loss": 1.0}))
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        journal.folder.release() if journal.folder else None
        journal.restart_after_fork()
        journal.append(Metrics("child", 1, 1, {"loss": 1.0}))
        journal.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
for thread in threads: thread.join()
journal.close()
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)
    assert len(list_journals(tmp_path)) == 21


def test_what_a_process_left_that_was_killed_while_it_deleted_a_journal_is_deleted_an_hour_later(
    tmp_path: Path, info: JournalInfo
) -> None:
    folder = JournalFolder.create(tmp_path, info)
    debris = tmp_path / ".20260101T000000-1-abcd"
    (debris / "spool").mkdir(parents=True)
    (debris / "spool" / "large.bin").write_bytes(b"x")
    delete_debris(tmp_path)
    assert debris.exists(), "it may be a journal that is being made"
    delete_debris(tmp_path, now=lambda: time.time() + 3601)
    assert not debris.exists()
    assert list_journals(tmp_path) == [folder.path]
    folder.release()


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"format": 1}'])
def test_a_folder_whose_description_is_broken_is_no_journal(
    tmp_path: Path, info: JournalInfo, broken: str
) -> None:
    folder = JournalFolder.create(tmp_path, info)
    folder.release()
    (folder.path / "journal.json").write_text(broken)
    with pytest.raises(JournalError, match=r"journal\.json"):
        read_info(folder.path)
