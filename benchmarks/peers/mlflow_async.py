"""MLflow's client with `synchronous=False`: calls go to a queue in memory; a thread sends it."""

import mlflow

from peers.mlflow_run import start_run
from peers.side import Log, Place, Side, serve


def open_log(place: Place) -> Log:
    start_run(place)
    return lambda value, step: mlflow.log_metric("loss", value, step=step, synchronous=False)


serve(Side(open_log=open_log))
