"""The measured sides: what each installs, whether it talks to a server, and in what mode it runs."""

from dataclasses import dataclass

UP_SLOW_DOWN = ("up", "slow", "down")
MLFLOW = "mlflow>=3.17,<4"
PROJECT = "-e ."
"""The project itself, from its source folder."""


@dataclass(frozen=True, slots=True)
class MeasuredSide:
    """``servers`` are the states of the server that calls are timed in; ``crash_servers`` those it is killed in."""

    name: str
    module: str
    environment: str
    requirements: tuple[str, ...]
    package: str
    servers: tuple[str, ...] = ("none",)
    crash_servers: tuple[str, ...] = ("none",)


TRACKLIGHT = MeasuredSide(
    "Tracklight", "tracklight_journal", "tracklight", (PROJECT,), "tracklight", UP_SLOW_DOWN, ("up", "down")
)
MLFLOW_BATCHES = MeasuredSide("MLflow log_batch", "mlflow_batches", "mlflow", (MLFLOW,), "mlflow")
FLOOR = MeasuredSide("(empty call)", "nothing", "tracklight", (PROJECT,), "tracklight")
PEERS = (
    MeasuredSide("MLflow", "mlflow_sync", "mlflow", (MLFLOW,), "mlflow", UP_SLOW_DOWN, ("up",)),
    MeasuredSide("MLflow async", "mlflow_async", "mlflow", (MLFLOW,), "mlflow", UP_SLOW_DOWN, ("up", "down")),
    MeasuredSide("wandb offline", "wandb_offline", "wandb", ("wandb==0.31.0",), "wandb"),
    MeasuredSide("Trackio", "trackio_local", "trackio", ("trackio==0.43.0",), "trackio"),
    MeasuredSide("Aim", "aim_local", "aim", ("aim==3.29.1",), "aim"),
    MeasuredSide(
        "tensorboardX",
        "tensorboardx_events",
        "tensorboardx",
        ("tensorboardX==2.6.5", "tensorboard"),
        "tensorboardX",
    ),
    MeasuredSide("SwanLab offline", "swanlab_offline", "swanlab", ("swanlab==0.10.3",), "swanlab"),
)
LOG_CALL_SIDES = (TRACKLIGHT, *PEERS, FLOOR)
