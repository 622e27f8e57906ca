"""Real models on real data that comes with scikit-learn, with a run for each model of a small sweep.

Two experiments, each a sweep with nested runs: breast cancer (logistic regression by gradient descent, and boosted
trees) and digits (a small neural network). Every run has its parameters, its metrics of each epoch, a plot and the
model in MLflow's own format.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mlflow.sklearn
import numpy as np
from matplotlib import pyplot as plt
from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from tracklight.tracking import MLflowTracker


@dataclass(frozen=True)
class Split:
    """A data set in four parts, the features scaled by the training part."""

    name: str
    scaler: StandardScaler
    train_x: np.ndarray
    test_x: np.ndarray
    train_y: np.ndarray
    test_y: np.ndarray


@dataclass(frozen=True)
class Epoch:
    """What a model gives for both parts of the data after one epoch."""

    train_probabilities: np.ndarray
    test_probabilities: np.ndarray


Fit = Callable[[Any, Split, int], Iterator[Epoch]]


@dataclass(frozen=True)
class Candidate:
    """One model of the sweep; ``params`` may be nested, and are logged flat, joined by dots."""

    name: str
    model: BaseEstimator
    fit: Fit
    epochs: int
    params: dict[str, Any]


def split(name: str) -> Split:
    data = {"breast-cancer": load_breast_cancer, "digits": load_digits}[name]()
    train_x, test_x, train_y, test_y = train_test_split(
        data.data, data.target, test_size=0.25, random_state=0, stratify=data.target
    )
    scaler = StandardScaler().fit(train_x)
    return Split(name, scaler, scaler.transform(train_x), scaler.transform(test_x), train_y, test_y)


def fit_in_passes(model: SGDClassifier | MLPClassifier, data: Split, epochs: int) -> Iterator[Epoch]:
    """Train one pass over the data at a time."""
    classes = np.unique(data.train_y)
    for _ in range(epochs):
        model.partial_fit(data.train_x, data.train_y, classes=classes)
        yield Epoch(model.predict_proba(data.train_x), model.predict_proba(data.test_x))


def fit_in_stages(model: GradientBoostingClassifier, data: Split, epochs: int) -> Iterator[Epoch]:
    """Train whole, then look at the model as it was after each tree."""
    model.set_params(n_estimators=epochs).fit(data.train_x, data.train_y)
    stages = zip(
        model.staged_predict_proba(data.train_x), model.staged_predict_proba(data.test_x), strict=True
    )
    for train_probabilities, test_probabilities in stages:
        yield Epoch(train_probabilities, test_probabilities)


def candidates(name: str) -> list[Candidate]:
    if name == "digits":
        return [
            Candidate(
                f"mlp-{width}",
                MLPClassifier((width,), learning_rate_init=0.002, random_state=0),
                fit_in_passes,
                30,
                {
                    "model": {"kind": "MLPClassifier", "hidden": {"layers": 1, "width": width}},
                    "learning_rate": 0.002,
                },
            )
            for width in (16, 64)
        ]
    linear = [
        Candidate(
            f"logistic-{alpha:g}",
            SGDClassifier("log_loss", alpha=alpha, learning_rate="adaptive", eta0=0.01, random_state=0),
            fit_in_passes,
            40,
            {
                "model": {"kind": "SGDClassifier", "penalty": {"kind": "l2", "alpha": alpha}},
                "learning_rate": 0.01,
            },
        )
        for alpha in (1e-3, 1.0)
    ]
    boosted = Candidate(
        "boosting",
        GradientBoostingClassifier(learning_rate=0.2, max_depth=3, random_state=0),
        fit_in_stages,
        60,
        {"model": {"kind": "GradientBoostingClassifier", "trees": {"depth": 3}}, "learning_rate": 0.2},
    )
    return [*linear, boosted]


def train(tracker: MLflowTracker, candidate: Candidate, data: Split) -> float:
    """Train one candidate in a run of its own; return its accuracy on the test part."""
    with tracker.start_run(run_name=candidate.name, tags={"dataset": data.name}, nested=True):
        tracker.log_params({**candidate.params, "epochs": candidate.epochs, "train_rows": len(data.train_y)})
        losses: list[tuple[float, float]] = []
        accuracy = 0.0
        for number, epoch in enumerate(candidate.fit(candidate.model, data, candidate.epochs)):
            train_loss = log_loss(data.train_y, epoch.train_probabilities)
            test_loss = log_loss(data.test_y, epoch.test_probabilities)
            losses.append((train_loss, test_loss))
            accuracy = accuracy_score(data.test_y, epoch.test_probabilities.argmax(axis=1))
            tracker.log_metrics(
                {"train_loss": train_loss, "test_loss": test_loss, "accuracy": accuracy}, step=number
            )
        tracker.log_metric("final_accuracy", accuracy)
        with tempfile.TemporaryDirectory() as folder:  # the tracker has its own copy before this is deleted
            plot(candidate, data, losses, Path(folder) / "training.png")
            tracker.log_artifact(Path(folder) / "training.png", "plots")
            mlflow.sklearn.save_model(
                Pipeline([("scale", data.scaler), ("model", candidate.model)]),
                Path(folder) / "model",
                input_example=data.scaler.inverse_transform(data.test_x[:2]),
                pip_requirements=["scikit-learn"],
                serialization_format="cloudpickle",
            )
            tracker.log_artifacts(Path(folder) / "model", "model")
    return accuracy


def plot(candidate: Candidate, data: Split, losses: list[tuple[float, float]], path: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    left.plot(losses, label=["train", "test"])
    left.set(title="Loss", xlabel="epoch", yscale="log")
    left.legend()
    ConfusionMatrixDisplay.from_predictions(
        data.test_y, candidate.model.predict(data.test_x), ax=right, colorbar=False, cmap="Blues"
    )
    figure.suptitle(f"{data.name}: {candidate.name}")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def sweep(name: str) -> None:
    """Train every candidate for a data set in runs that are nested in one."""
    tracker = MLflowTracker(experiment_name=name)
    data = split(name)
    with tracker.start_run(run_name=f"{name}-sweep"):
        print(f"{name}-sweep", flush=True)
        scores: dict[str, float] = {}
        for candidate in candidates(name):
            began = time.perf_counter()
            scores[candidate.name] = train(tracker, candidate, data)
            seconds = time.perf_counter() - began
            print(f"  {candidate.name:<16}accuracy {scores[candidate.name]:.3f}{seconds:8.2f} s", flush=True)
        best = max(scores, key=lambda name: scores[name])
        tracker.log_params({"candidates": len(scores), "best": best})
        tracker.log_metric("best_accuracy", scores[best])
    tracker.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=["breast-cancer", "digits"], help="only this one")
    dataset = parser.parse_args().dataset
    mpl.use("Agg")
    logging.getLogger("mlflow").setLevel(logging.ERROR)  # it warns at every save that pickles can run code
    for name in [dataset] if dataset else ["breast-cancer", "digits"]:
        sweep(name)


if __name__ == "__main__":
    main()
