"""`python -m tracklight.server` as a process."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path


def test_it_says_one_line_when_ready_and_stops_on_sigterm(database: Path) -> None:
    command = [sys.executable, "-m", "tracklight.server", "--port", "0"]
    command += ["--backend-store-uri", f"sqlite:///{database}", "--artifact-root", str(database.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = line.split()[-1]
        assert line == f"Tracklight server is ready at {address}\n"
        with urllib.request.urlopen(f"{address}/health", timeout=10) as answer:
            assert answer.read() == b"OK"
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
    assert rest == ""
    assert database.exists()


def test_a_database_that_cannot_be_opened_stops_it_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    command = [sys.executable, "-m", "tracklight.server", "--port", "0", "--artifact-root", str(tmp_path)]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path}/file/m.db"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert f"The database {tmp_path}/file/m.db cannot be opened now" in done.stderr
