"""Prefect's decorators; or nothing in their place, where Prefect is not installed or BHAVCOPY_PLAIN=1 is set."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any

from tracklight.tracking import MLflowTracker

if importlib.util.find_spec("prefect") and not os.environ.get("BHAVCOPY_PLAIN"):
    from prefect import flow, task

    from tracklight.integrations.prefect import flow_run, hooks
else:

    def task(function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def flow(**_options: object) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        return task

    def flow_run(tracker: MLflowTracker, run_name: str) -> contextlib.AbstractContextManager[object]:
        return tracker.start_run(run_name)

    def hooks(_tracker: MLflowTracker) -> dict[str, object]:
        return {}


__all__ = ["flow", "flow_run", "hooks", "task"]
