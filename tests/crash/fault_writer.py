"""A program that logs on a disk that fails. It prints what became of each call as JSON, and ends normally.

Arguments: the server's address, the project's folder, a folder for scratch files.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tracklight.settings import Settings
from tracklight.tracking.tracker import Tracker

STEPS = 600

uri, project, scratch = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
settings = Settings(tracking_uri=uri, directory=project, segment_bytes=1 << 14, fsync_interval_seconds=0.01)
tracker = Tracker("faults", settings=settings)
counted: dict[str, bool] = {}


def note(name: str, before: tuple[int, int]) -> None:
    """Say whether the call was counted as dropped or as a mistake: then it need not arrive."""
    health = tracker.health()
    counted[name] = (health.dropped, health.mistakes) != before


def now() -> tuple[int, int]:
    health = tracker.health()
    return health.dropped, health.mistakes


before = now()
run = tracker.start_run("on a bad disk")
note("start", before)
for step in range(STEPS):
    before = now()
    run.log_metric("loss", step / 7, step)
    note(f"metric {step}", before)
    if step % 20 == 0:
        before = now()
        run.log_param(f"param{step}", "x" * (step * 5))
        note(f"param {step}", before)
        before = now()
        run.set_tag(f"tag{step}", f"{step}")
        note(f"tag {step}", before)
    if step % 100 == 0:
        file = scratch / f"file{step}.bin"
        file.write_bytes(bytes([step % 251]) * 100_000)
        before = now()
        run.log_artifact(file)
        note(f"artifact {step}", before)
        file.unlink()
    if step % 50 == 0:
        time.sleep(0.02)
before = now()
run.end()
note("end", before)
tracker.close()
health = tracker.health()
print(json.dumps({"counted": counted, "dropped": health.dropped, "mistakes": health.mistakes}))
