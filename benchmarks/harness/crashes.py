"""Kills a side by SIGKILL right after its last call, lets it recover in its own way, and counts what is left."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace

from harness.children import SideRun
from harness.servers import HOST, MLflowServer, hold_refusing_port, run_relay

SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Crash:
    """One crash: points logged before the kill, distinct points found after recovery, rows beyond those."""

    side: str
    server: str
    with_helpers: bool
    logged: int
    kept: int
    duplicated: int


def crash_and_recover(
    run: SideRun, server: MLflowServer, *, state: str, calls: int, with_helpers: bool
) -> Crash:
    """Crash one run. In state "down" the server comes back, at the same address, before the recovery."""
    with ExitStack() as stack:
        run = replace(run, start_url=server.url, url=server.url)
        if state == "down":
            with hold_refusing_port() as port:
                run = replace(run, url=f"http://{HOST}:{port}")
                run.answer("crash", calls=calls, with_helpers=with_helpers)
            stack.enter_context(run_relay(server, seconds=0, port=port))
        else:
            run.answer("crash", calls=calls, with_helpers=with_helpers)
        rows, kept = count_recovered(run, server)
    return Crash(
        side=run.side.name,
        server=state,
        with_helpers=with_helpers,
        logged=calls,
        kept=kept,
        duplicated=rows - kept,
    )


def count_recovered(run: SideRun, server: MLflowServer) -> tuple[int, int]:
    """Rows and distinct points after the side's own recovery; a request under way may still arrive."""
    kept = run.answer("recover")["kept"]
    if kept is not None:
        return kept, kept
    time.sleep(SETTLE_SECONDS)
    return server.count_points(run.name)
