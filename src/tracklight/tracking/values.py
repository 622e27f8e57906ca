"""What people log, as what MLflow stores. Nothing here imports numpy, torch or pandas."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

from tracklight.errors import InvalidKeyError, InvalidValueError
from tracklight.model.run import MlflowLimit

_KEY = re.compile(r"[/\w.\- :]+")  # mlflow.utils.validation: letters, digits and / _ . - : and space


def metric_value(value: object) -> float:
    """Return a number as MLflow stores it: a 64-bit float, NaN and infinities included.

    Takes bool, int, float, Decimal, Fraction, and anything with one number in it that has ``item()``, such as
    scalars of numpy and tensors of torch.

    Raises:
        InvalidValueError: this is not one number.
    """
    if hasattr(value, "item") and not isinstance(value, (int, float)):
        try:
            value = value.item()
        except (ValueError, RuntimeError, TypeError) as error:
            raise InvalidValueError(
                f"A metric is one number; this {type(value).__name__} is not: {error}."
            ) from error
    if isinstance(value, (int, float, Decimal, Fraction)):
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    raise InvalidValueError(
        f"A metric is a number, and {shown} is a {type(value).__name__}. Log text as a parameter or a tag."
    )


def step_number(step: object) -> int:
    """Return a step as an integer; 2.0 is 2.

    Raises:
        InvalidValueError: this is not a whole number.
    """
    if step is None:
        return 0
    number = metric_value(step)
    if not number.is_integer():
        raise InvalidValueError(f"A step is a whole number, not {step!r}.")
    return int(step) if isinstance(step, int) else int(number)


def clean_text(value: object) -> str:
    """Return the text of a value; what UTF-8 cannot hold (lone surrogates) becomes a question mark."""
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 - the value's own code failed, and must not take the training with it
        text = f"<{type(value).__name__} without a text>"
    return text.encode("utf-8", "replace").decode("utf-8")


def flatten(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield a parameter's name and value; mappings and dataclasses as one for each leaf, joined by dots."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from flatten(f"{key}.{name}" if key else str(name), inner)
    else:
        yield key, value


def flatten_all(values: object) -> list[tuple[str, Any]]:
    """Return all names and values of a mapping or a dataclass, as `flatten` does.

    Raises:
        InvalidValueError: this is neither.
    """
    is_dataclass = dataclasses.is_dataclass(values) and not isinstance(values, type)
    if not isinstance(values, Mapping) and not is_dataclass:
        raise InvalidValueError(
            f"Parameters come as a mapping or a dataclass, not as a {type(values).__name__}: {{'depth': 3}}, say."
        )
    return [(key, value) for key, value in flatten("", values) if key]


def allowed_key(text: str) -> str:
    """Return the nearest name that MLflow takes: other characters become underscores, the rest is cut."""
    return re.sub(r"[^\w.\- :]", "_", clean_text(text))[: MlflowLimit.KEY_LENGTH]


def check_key(key: str) -> None:
    """Check a name by MLflow's rules.

    Raises:
        InvalidKeyError: MLflow would refuse it.
    """
    if len(key) > MlflowLimit.KEY_LENGTH:
        raise InvalidKeyError(
            f"The name {key[:40]!r}... has {len(key)} characters; MLflow allows {MlflowLimit.KEY_LENGTH}. "
            "Shorten it, or put the detail in a tag's value."
        )
    if not _KEY.fullmatch(key) or str(PurePosixPath(key)) != key or key.startswith(("/", "..")):
        raise InvalidKeyError(
            f"The name {key!r} is not one that MLflow takes: use letters, digits, and _ - . : / and space, "
            "and no path that begins at the root or leaves it."
        )
