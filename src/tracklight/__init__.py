"""Tracklight: MLflow for production.

>>> from tracklight import MLflowTracker

Nothing heavy is imported until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracklight.tracking import Health, MLflowTracker, Run, Tracker

__version__ = "0.1.0"
__all__ = ["Health", "MLflowTracker", "Run", "Tracker", "__version__"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from tracklight import tracking  # noqa: PLC0415 - lazily: it takes a third of a second

        return getattr(tracking, name)
    raise AttributeError(f"module 'tracklight' has no attribute {name!r}")
