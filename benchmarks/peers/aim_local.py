"""Aim, a repository in a local folder: every call writes to its embedded RocksDB."""

import subprocess
import sys
from pathlib import Path

from aim import Repo, Run

from peers.side import Log, Place, Side, serve


def open_log(place: Place) -> Log:
    """Open a run without the system metrics and the terminal capture, which are other work on the same cores."""
    run = Run(
        repo=str(place.folder),
        experiment=place.name,
        system_tracking_interval=None,
        log_system_params=False,
        capture_terminal_logs=False,
    )
    return lambda value, step: run.track(value, name="loss", step=step)


def recover(place: Place) -> int:
    """Rebuild the index by Aim's own command, then count the values that the repository reads."""
    aim = Path(sys.executable).with_name("aim")
    subprocess.run(
        [aim, "storage", "--repo", place.folder, "reindex", "--yes"], check=True, capture_output=True
    )
    repo = Repo(str(place.folder))
    runs = (Run(run_hash, repo=repo, read_only=True) for run_hash in repo.list_all_runs())
    metrics = (metric for run in runs for metric in run.metrics() if metric.name == "loss")
    return sum(len(metric.values.sparse_list()[0]) for metric in metrics)


serve(Side(open_log=open_log, recover=recover))
