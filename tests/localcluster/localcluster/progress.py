"""Telling the person in front what takes long: a live line on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

TICK = 1.0
PLAIN_TICK = 30.0


class Progress:
    """Names each step when it begins and says how long it took."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._live = self._stream.isatty()

    def say(self, text: str) -> None:
        """Write one line."""
        if not self._quiet:
            self._write(f"{text}\n")

    @contextmanager
    def step(self, label: str) -> Iterator[None]:
        """Show the label with the seconds passed until the block ends."""
        if self._quiet:
            yield
            return
        start = time.monotonic()
        over = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(label, start, over), daemon=True)
        if self._live:
            self._write(f"  {label} ...")
        ticker.start()
        verdict = "failed after "
        try:
            yield
            verdict = ""
        finally:
            over.set()
            ticker.join()
            self._write(f"{self._back()}  {label}: {verdict}{time.monotonic() - start:.1f} s\n")

    def _tick(self, label: str, start: float, over: threading.Event) -> None:
        while not over.wait(TICK if self._live else PLAIN_TICK):
            passed = f"  {label} ... {time.monotonic() - start:.0f} s"
            self._write(self._back() + passed if self._live else f"{passed}\n")

    def _back(self) -> str:
        return "\r\033[K" if self._live else ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
