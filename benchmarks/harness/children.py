"""Runs one command of one side in its own environment, folder and session, and cleans up after it."""

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.environments import Environment, remove_places
from sides import MeasuredSide

BENCHMARKS = Path(__file__).resolve().parents[1]
ANSWER_TIMEOUT_SECONDS = 300
HELPERS_TIMEOUT_SECONDS = 15.0
QUIET = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
}
"""Nothing leaves the machine, and nothing is printed, by any side."""


class SideError(Exception):
    """A side's process ended otherwise than it should have; the message ends with what it printed."""


@dataclass(frozen=True, slots=True)
class SideRun:
    """Where one run of a side takes place; see `peers.side.Place`."""

    side: MeasuredSide
    environment: Environment
    folder: Path
    name: str
    start_url: str = ""
    url: str = ""

    def answer(
        self, command: str, *, calls: int = 0, seconds: float = 0, with_helpers: bool = False
    ) -> dict[str, Any]:
        """Run `time`, `crash`, `recover` or `deliver` and return what it wrote.

        Raises:
            SideError: it failed, did not end in time, or (`crash`) did not die by its own SIGKILL.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path, log = self.folder / f"{command}.json", self.folder / f"{command}.log"
        line: list[str | Path] = [self.environment.python, "-m", f"peers.{self.side.module}", command]
        line += ["--folder", self.folder, "--name", self.name, "--answer", path]
        line += [
            "--start-url",
            self.start_url,
            "--url",
            self.url,
            "--calls",
            str(calls),
            "--seconds",
            str(seconds),
        ]
        line += ["--with-helpers"] * with_helpers
        with log.open("wb") as output:
            process = subprocess.Popen(
                line,
                cwd=self.folder,
                env=self._variables(),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            code = process.wait(timeout=ANSWER_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        answer = json.loads(path.read_text()) if path.exists() else {}
        wait_for_helpers(answer.get("helpers", []))
        if not answer or code != (-signal.SIGKILL if command == "crash" else 0):
            ending = remove_places(log.read_text(errors="replace")[-1500:])
            raise SideError(f"{self.side.name}: `{command}` ended with code {code}.\n{ending}")
        return answer

    def _variables(self) -> dict[str, str]:
        """A clean environment: no settings of the user's, a home folder of its own."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        return kept | QUIET | {"HOME": str(self.folder), "PYTHONPATH": str(BENCHMARKS)}


def wait_for_helpers(helpers: list[int]) -> None:
    """Let a dead side's service processes finish what they hold; kill those that have not after a while."""
    deadline = time.monotonic() + HELPERS_TIMEOUT_SECONDS
    while time.monotonic() < deadline and any(is_alive(pid) for pid in helpers):
        time.sleep(0.1)
    for pid in filter(is_alive, helpers):
        os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
