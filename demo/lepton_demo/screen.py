"""What the demo asks of the place where it is shown, and that place without a terminal."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.text import Text

from lepton_demo import view
from lepton_demo.scaling import Story
from lepton_demo.view import Traffic

NOTE_SECONDS = 10.0
FIGURES_SECONDS = 5.0


class Step(Protocol):
    """The step under way."""

    def note(self, text: str) -> None:
        """Say what it does right now."""

    def done(self, text: str) -> None:
        """Say what came of it; shown when the step ends."""

    def figures(self, story: Story, seen: Traffic) -> None:
        """Show a load."""


class Screen(Protocol):
    """Where everything is shown."""

    def step(self, label: str) -> AbstractContextManager[Step]:
        """Begin a step; it ends, well or not, with the block."""

    def show(self, lines: Sequence[str]) -> None:
        """Write lines of rich's markup that stay."""


class Plain:
    """Lines for a log: one for each step, and one now and then from those that take long."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock

    @contextmanager
    def step(self, label: str) -> Iterator[Step]:
        """Begin a step."""
        start = self._clock()
        step = _PlainStep(label, self._write, self._clock)
        sign = "failed"
        try:
            yield step
            sign = "ok"
        except asyncio.CancelledError:
            sign = "ended"
            raise
        finally:
            outcome = f": {step.outcome}" if step.outcome else ""
            self._write(f"{sign:<6} {label}{outcome} ({self._clock() - start:.1f} s)")

    def show(self, lines: Sequence[str]) -> None:
        """Write lines that stay."""
        for line in lines:
            self._write(Text.from_markup(line).plain)

    def _write(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True, emoji=False)


class _PlainStep:
    def __init__(
        self, label: str, write: Callable[[str], None], clock: Callable[[], float]
    ) -> None:
        self.outcome = ""
        self._label = label
        self._write = write
        self._clock = clock
        self._start = self._last = clock()
        self._said = ""

    def note(self, text: str) -> None:
        if not self.outcome and text != self._said and self._due(NOTE_SECONDS):
            self._said = text
            self._write(f"  ...  {self._label}: {text} ({self._clock() - self._start:.0f} s)")

    def done(self, text: str) -> None:
        self.outcome = text

    def figures(self, story: Story, seen: Traffic) -> None:
        if self._due(FIGURES_SECONDS):
            self._write(f"       {Text.from_markup(view.line(story, seen)).plain}")

    def _due(self, seconds: float) -> bool:
        now = self._clock()
        if now - self._last < seconds:
            return False
        self._last = now
        return True
