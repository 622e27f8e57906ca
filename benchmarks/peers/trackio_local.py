"""Trackio, local: calls go to a queue in memory; a thread writes it to SQLite every half second."""

import os

from peers.side import Log, Place, Side, serve


def open_log(place: Place) -> Log:
    os.environ["TRACKIO_DIR"] = str(place.folder)
    import trackio

    run = trackio.init(project=place.name, name="run", embed=False)
    return lambda value, step: run.log({"loss": value}, step=step)


def recover(place: Place) -> int:
    """Count the log entries that Trackio's own storage class reads from its database."""
    os.environ["TRACKIO_DIR"] = str(place.folder)
    from trackio.sqlite_storage import SQLiteStorage

    runs = SQLiteStorage.get_runs(place.name)
    return sum("loss" in entry for run in runs for entry in SQLiteStorage.get_logs(place.name, run))


serve(Side(open_log=open_log, recover=recover))
