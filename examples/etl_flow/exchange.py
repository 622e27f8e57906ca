"""An exchange's archive of daily price files, generated: the format is NSE's, the figures are not.

The files are bhavcopies of the classic kind, ``cm10JAN2024bhav.csv.zip``, in the archive's own folders. Companies,
ISINs (with right check digits) and prices are drawn from a seeded generator; some rows are repeated and some LAST
prices are missing, so that the quality metrics have something to show.
"""

from __future__ import annotations

import csv
import functools
import io
import itertools
import random
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HEADER = (
    *("SYMBOL", "SERIES", "OPEN", "HIGH", "LOW", "CLOSE", "LAST", "PREVCLOSE"),
    *("TOTTRDQTY", "TOTTRDVAL", "TIMESTAMP", "TOTALTRADES", "ISIN"),
)
SYLLABLES = "AR BHA CHE DEV GOL HIN JAL KRI LAK MAN NAV RAJ SUR TAR VIS".split()  # noqa: SIM905 - reads better
ENDINGS = ("BANK", "CEM", "CHEM", "FIN", "IND", "INFRA", "PHARMA", "POWER", "STEEL", "TECH")
SERIES = ("EQ",) * 17 + ("BE", "SM", "GB")
DUPLICATE_SHARE = 0.004
MISSING_LAST_SHARE = 0.02


def archive_path(day: date) -> str:
    """Return where the archive has a day's file, below its root."""
    month = day.strftime("%b").upper()
    return f"content/historical/EQUITIES/{day.year}/{month}/cm{day:%d}{month}{day.year}bhav.csv.zip"


def trading_days(first: date, count: int) -> list[date]:
    """Return the first ``count`` weekdays from ``first`` on."""
    days = (first + timedelta(days=offset) for offset in itertools.count())
    return list(itertools.islice((day for day in days if day.weekday() < 5), count))


def write_bhavcopy(root: Path, day: date, *, companies: int = 1500, seed: int = 7) -> Path:
    """Write one day's file below ``root``, the same for the same arguments, and return its path."""
    path = root / archive_path(day)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*HEADER, ""])  # the classic files end each line with a comma
    writer.writerows([*row, ""] for row in _rows(day, companies, seed))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            zipfile.ZipInfo(path.name.removesuffix(".zip"), (*day.timetuple()[:6],)), text.getvalue()
        )
    return path


@contextmanager
def serve(root: Path) -> Iterator[str]:
    """Serve the archive over HTTP on this machine; give its address."""
    handler = functools.partial(_QuietHandler, directory=str(root))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
        """Say nothing."""


def _rows(day: date, companies: int, seed: int) -> Iterator[list[object]]:
    listing = random.Random(seed)
    symbols: dict[str, None] = {}
    while len(symbols) < companies:
        name = "".join(listing.sample(SYLLABLES, 2)) + listing.choice(ENDINGS)
        symbols[name if name not in symbols else f"{name}{listing.randrange(10, 100)}"] = None
    today = random.Random(f"{seed} {day.isoformat()}")
    for index, symbol in enumerate(sorted(symbols)):
        row = _row(symbol, _isin(index), listing, today, day)
        yield row
        if today.random() < DUPLICATE_SHARE:
            yield row


def _row(symbol: str, isin: str, listing: random.Random, today: random.Random, day: date) -> list[object]:
    series = listing.choice(SERIES)
    previous = round(listing.lognormvariate(5.2, 1.1), 2)
    close = round(max(0.05, previous * (1 + today.gauss(0, 0.02))), 2)
    opening = round(max(0.05, previous * (1 + today.gauss(0, 0.008))), 2)
    high = round(max(opening, close) * (1 + abs(today.gauss(0, 0.01))), 2)
    low = round(max(0.05, min(opening, close) * (1 - abs(today.gauss(0, 0.01)))), 2)
    last = (
        ""
        if today.random() < MISSING_LAST_SHARE
        else round(min(high, max(low, close + today.gauss(0, 0.05))), 2)
    )
    quantity = int(today.lognormvariate(10, 1.8)) + 1
    value = round(quantity * (high + low + close) / 3, 2)
    trades = max(1, min(quantity, int(quantity / today.uniform(20, 120))))
    timestamp = day.strftime("%d-%b-%Y").upper()
    return [
        symbol,
        series,
        opening,
        high,
        low,
        close,
        last,
        previous,
        quantity,
        value,
        timestamp,
        trades,
        isin,
    ]


def _isin(index: int) -> str:
    """Return an ISIN of India with the check digit of ISO 6166: Luhn over letters as 10 to 35."""
    body = f"INE{index:03d}Z01{index % 90 + 10:02d}"[:11]
    digits = "".join(str(int(character, 36)) for character in body)
    weighted = (int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(digits)))
    return f"{body}{-sum(sum(divmod(value, 10)) for value in weighted) % 10}"
