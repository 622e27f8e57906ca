"""A tracking server as a process of its own, to be killed and started again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

START_TIMEOUT_SECONDS = 120.0
STOP_TIMEOUT_SECONDS = 10.0
POLL_SECONDS = 0.02
_READY = re.compile(r"ready at (http://[^\s:]+:(\d+))")


class ServerProcess:
    """``python -m tracklight.server`` on a SQLite database in ``folder``; it keeps its port when it starts again."""

    def __init__(self, folder: Path) -> None:
        """Nothing is started yet."""
        self.folder = folder.absolute()
        self.database = self.folder / "mlflow.db"
        self.log = self.folder / "server.log"
        self.uri = ""
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process, if it is not running, and wait until it answers.

        Raises:
            RuntimeError: it ended, or was not ready in time; the message has what it printed.
        """
        self.begin_start()
        self.wait_until_ready()

    def begin_start(self) -> None:
        """Start the process, if it is not running, and do not wait."""
        if self.is_running:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "tracklight.server", "--port", str(self._port)]
        command += ["--backend-store-uri", f"sqlite:///{self.database}"]
        command += ["--artifact-root", str(self.folder / "artifacts")]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own server
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment()
            )

    def wait_until_ready(self) -> None:
        """Wait until the server answers; errors as `start`."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while (ready := _READY.search(self.log.read_text("utf-8", "replace"))) is None:
            if not self.is_running or time.monotonic() > deadline:
                raise RuntimeError(f"The server did not start:\n{self.log.read_text('utf-8', 'replace')}")
            time.sleep(POLL_SECONDS)
        self.uri, self._port = ready[1], int(ready[2])

    def kill(self) -> None:
        """Kill it, as the kernel does when memory runs out."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Ask it to stop; kill it if it does not."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()


def _environment() -> dict[str, str]:
    return os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
