"""Writes the measured figures into README, from the files in benchmarks/results.

python benchmarks/figures.py [--check]
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from harness.results import RESULTS, format_us

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCK = re.compile(
    r"(<!-- figures: written by benchmarks/figures.py -->\n).*?(<!-- end of figures -->)", re.DOTALL
)


def read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def figures() -> str:
    calls, delivery, footprint = read("log_call"), read("delivery"), read("footprint")
    crash = (RESULTS / "crash.txt").read_text("utf-8").strip().splitlines()[-1]
    machine, effort = calls["machine"], calls["effort"]
    sizes = f"{footprint['total_without_bytecode_mb']:.0f} MB ({footprint['total_mb']:.0f} MB with bytecode)"
    statement = footprint["imports"][0]
    rows = "\n".join(row(calls, side) for side in calls["versions"] if not side.startswith("("))
    return f"""\
Measured on {machine["cores"]} cores ({machine["processor"]}, {machine["filesystem"]}, a shared machine), Python
{machine["python"]}; `make bench` does it on yours. One metric-logging call as the caller sees it, and the points kept
when the process is killed right after {effort["crash_calls"]:,} calls:

| | server up, p50 | p99 | server down, p50 | kept after kill -9 |
|---|---:|---:|---:|---:|
{rows}

- Crash test, `tracklight selftest crash --kills 200`: **{crash}**.
- Delivery to a stock MLflow server: {delivery["medians"]["Tracklight"]:,.0f} points per second,
  {delivery["ratio"]:.2f} times MLflow's client with batches of 1,000 made by hand.
- Installed: {sizes}. `import tracklight`: {statement["median_ms"]:.0f} ms.

Method, versions and every figure: [benchmarks](benchmarks/README.md), [calls](benchmarks/results/log_call.md),
[delivery](benchmarks/results/delivery.md), [footprint](benchmarks/results/footprint.md).
"""


def row(calls: dict[str, Any], side: str) -> str:
    by_server = {summary["server"]: summary for summary in calls["summaries"] if summary["side"] == side}
    up, down = by_server.get("up") or by_server.get("none"), by_server.get("down")
    kept = [crash for crash in calls["crashes"] if crash["side"] == side and crash["kept"] is not None]
    worst = min(kept, key=lambda crash: crash["kept"], default=None)
    shown = f"{worst['kept']:,} of {worst['logged']:,}" if worst else "-"
    if "none" in by_server:
        down_text = "(no server)"
    elif down and down["p50_us"] is None:
        down_text = "does not return"
    else:
        down_text = format_us(down["p50_us"]) if down else "-"
    name = f"**{side}**" if side == "Tracklight" else side
    return (
        f"| {name} | {format_us(up['p50_us'] if up else None)} | {format_us(up['p99_us'] if up else None)} "
        f"| {down_text} | {shown} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only tell whether README is up to date")
    text = README.read_text("utf-8")
    written = BLOCK.sub(lambda match: match[1] + figures() + match[2], text)
    if parser.parse_args().check:
        sys.exit(0 if written == text else "README's figures are not those of benchmarks/results")
    README.write_text(written, "utf-8")


if __name__ == "__main__":
    main()
