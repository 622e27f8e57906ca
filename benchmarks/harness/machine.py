"""The machine that a number was measured on."""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
BENCH_FOLDER = PROJECT / ".bench"


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts to print beside every result. ``fsync_ms`` is the median of 50 appends of 4 KB to one file."""

    measured_at: str
    commit: str
    processor: str
    cores: int
    memory_gb: float
    kernel: str
    python: str
    filesystem: str
    fsync_ms: float
    load_before: float

    def lines(self) -> Iterator[str]:
        return (f"{name.replace('_', ' ')}: {value}" for name, value in asdict(self).items())


def describe_machine() -> Machine:
    BENCH_FOLDER.mkdir(exist_ok=True)
    (BENCH_FOLDER / ".gitignore").write_text("*\n")
    return Machine(
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=find_commit(),
        processor=find_processor(),
        cores=os.cpu_count() or 0,
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        filesystem=find_filesystem(BENCH_FOLDER),
        fsync_ms=measure_fsync_ms(BENCH_FOLDER),
        load_before=round(os.getloadavg()[0], 2),
    )


def find_commit() -> str:
    """The commit of the working tree, marked if there are changes that it does not hold."""
    commit = run_git("rev-parse", "--short", "HEAD")
    if not commit:
        return "unknown"
    return f"{commit} + uncommitted changes" if run_git("status", "--porcelain", "--", "src") else commit


def run_git(*arguments: str) -> str:
    try:
        answer = subprocess.run(
            ["git", "-C", PROJECT, *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return answer.stdout.strip()


def find_processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = (
            line.partition(":")[2].strip()
            for line in cpuinfo.read_text().splitlines()
            if "model name" in line
        )
        return next(names, platform.machine())
    return platform.processor() or platform.machine()


def find_filesystem(folder: Path) -> str:
    """The type of the file system that holds a folder, by the longest mount point above it."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "unknown"
    fields = (line.split() for line in mounts.read_text().splitlines())
    above = [(len(at), kind) for _, at, kind, *_ in fields if folder.is_relative_to(at)]
    return max(above)[1] if above else "unknown"


def measure_fsync_ms(folder: Path) -> float:
    seconds: list[float] = []
    path = folder / "fsync-probe"
    with path.open("wb", buffering=0) as probe:
        for _ in range(50):
            probe.write(b"x" * 4096)
            begin = time.perf_counter()
            os.fsync(probe.fileno())
            seconds.append(time.perf_counter() - begin)
    path.unlink()
    return round(statistics.median(seconds) * 1e3, 3)
