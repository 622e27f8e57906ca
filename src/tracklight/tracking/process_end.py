"""What happens to open runs when the process ends, is asked to end, or forks.

One hook of each kind for the process, installed with the first run; it knows the trackers that are alive.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import weakref
from types import FrameType
from typing import Protocol

from tracklight.journal import journal as journal_module
from tracklight.model.run import RunStatus
from tracklight.tracking.run import status_of

RING_AGAIN_SECONDS = 0.005


class Watched(Protocol):
    """What the hooks call on each tracker."""

    def end_open_runs(self, run_status: RunStatus) -> None: ...
    def close(self) -> bool: ...
    def restart_after_fork(self) -> None: ...


_trackers: weakref.WeakSet[Watched] = weakref.WeakSet()  # the hooks below are the process's, so is this
_installed: list[bool] = []


def watch(tracker: Watched) -> None:
    """End the tracker's open runs, and deliver what it holds, before the process is gone."""
    _trackers.add(tracker)
    if not _installed:
        _installed.append(True)
        atexit.register(_close_at_exit)
        os.register_at_fork(after_in_child=_restart_in_child)
    _handle_sigterm()


def _close_at_exit() -> None:
    """An open run ends as the program does: FAILED or KILLED by the exception that ended it, else FINISHED."""
    run_status = status_of(getattr(sys, "last_value", None))
    for tracker in list(_trackers):
        tracker.end_open_runs(run_status)
        tracker.close()


def _restart_in_child() -> None:
    for tracker in list(_trackers):
        tracker.restart_after_fork()


def _handle_sigterm() -> None:
    """A program with a handler of its own keeps it."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    """Mark open runs KILLED, deliver, and die by the signal, as without this handler."""
    if _is_appending(frame):  # the main thread holds the journal's lock: let it finish, then come back
        threading.Timer(RING_AGAIN_SECONDS, os.kill, (os.getpid(), number)).start()
        return
    for tracker in list(_trackers):
        tracker.end_open_runs(RunStatus.KILLED)
        tracker.close()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _is_appending(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == journal_module.__file__:
            return True
        frame = frame.f_back
    return False
