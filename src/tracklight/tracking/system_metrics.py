"""The machine's load as metrics of the open runs, under the names that MLflow gives them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from tracklight.events import EventLog
from tracklight.journal.periodic import Periodic

if TYPE_CHECKING:
    from tracklight.tracking.run import Run

log = EventLog("tracklight.system_metrics")

MEGABYTE = 1e6


class SystemMetrics:
    """Logs CPU, memory, disk, network and, where NVIDIA's library finds one, GPU use every few seconds.

    Needs the extra ``tracklight[system]``; without it a warning says so and nothing is logged.
    """

    def __init__(self, open_runs: Callable[[], Sequence[Run]], interval_seconds: float) -> None:
        self._open_runs = open_runs
        self._steps = itertools.count()
        self._thread: Periodic | None = None
        try:
            import psutil  # noqa: PLC0415 - an optional dependency
        except ImportError:
            log.warning("system_metrics.unavailable", hint="pip install 'tracklight[system]'")
            return
        self._psutil = psutil
        self._network_at_start = psutil.net_io_counters()
        psutil.cpu_percent()  # the first call only begins the measurement
        self._thread = Periodic("tracklight-system", self._log, interval_seconds)

    def stop(self) -> None:
        """Log no more."""
        if self._thread is not None:
            self._thread.stop()

    def _log(self) -> None:
        step = next(self._steps)
        if step == 0:
            return
        try:
            values = {f"system/{name}": value for name, value in self._read()}
        except OSError as error:
            log.warning_each_minute("system_metrics.failed", error=str(error))
            return
        for run in self._open_runs():
            run.log_metrics(values, step=step - 1)

    def _read(self) -> Iterator[tuple[str, float]]:
        psutil = self._psutil
        memory = psutil.virtual_memory()
        disk = psutil.disk_usage("/")
        yield "cpu_utilization_percentage", psutil.cpu_percent()
        yield "system_memory_usage_megabytes", memory.used / MEGABYTE
        yield "system_memory_usage_percentage", memory.percent
        yield "disk_usage_percentage", disk.percent
        yield "disk_usage_megabytes", disk.used / MEGABYTE
        yield "disk_available_megabytes", disk.free / MEGABYTE
        network, start = psutil.net_io_counters(), self._network_at_start
        if network is not None and start is not None:
            yield "network_receive_megabytes", (network.bytes_recv - start.bytes_recv) / MEGABYTE
            yield "network_transmit_megabytes", (network.bytes_sent - start.bytes_sent) / MEGABYTE
        with contextlib.suppress(ImportError):
            yield from _read_gpus()


def _read_gpus() -> Iterator[tuple[str, float]]:
    import pynvml  # noqa: PLC0415 - an optional dependency

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return
    for number in range(pynvml.nvmlDeviceGetCount()):
        device = pynvml.nvmlDeviceGetHandleByIndex(number)
        memory = pynvml.nvmlDeviceGetMemoryInfo(device)
        yield f"gpu_{number}_memory_usage_percentage", 100 * memory.used / memory.total
        yield f"gpu_{number}_memory_usage_megabytes", memory.used / MEGABYTE
        yield f"gpu_{number}_utilization_percentage", pynvml.nvmlDeviceGetUtilizationRates(device).gpu
        yield f"gpu_{number}_power_usage_watts", pynvml.nvmlDeviceGetPowerUsage(device) / 1000
