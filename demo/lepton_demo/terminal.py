"""The demo on a terminal: finished steps stay, the one under way lives at the bottom."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from lepton_demo import view
from lepton_demo.scaling import Story
from lepton_demo.screen import Step
from lepton_demo.view import Traffic

WIDEST_BARS = 60
ROOM_FOR_TEXT = 64
"""Columns that a row of the panel needs beside its bars."""


class Terminal:
    """A live line for the step under way, with a panel under it while there is a load."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, label: str) -> Iterator[Step]:
        """Begin a step."""
        now = _Now(label, self._console)
        sign = "[bold red]✗[/]"
        try:
            with Live(now, console=self._console, refresh_per_second=5, transient=True):
                yield now
            sign = "[bold green]✓[/]"
        finally:
            if now.panel is not None:
                self._console.print(now.panel)
            self._console.print(now.line(sign, now.outcome))

    def show(self, lines: Sequence[str]) -> None:
        """Write lines that stay."""
        for line in lines:
            self._console.print(Text.from_markup(line), highlight=False, soft_wrap=True)


class _Now:
    """The step under way, drawn anew several times a second."""

    def __init__(self, label: str, console: Console) -> None:
        self.outcome = ""
        self.panel: RenderableType | None = None
        self._label = label
        self._console = console
        self._start = time.monotonic()
        self._note = ""
        self._spinner = Spinner("dots", style="cyan")

    def note(self, text: str) -> None:
        self._note = text

    def done(self, text: str) -> None:
        self.outcome = text

    def figures(self, story: Story, seen: Traffic) -> None:
        bars = max(10, min(WIDEST_BARS, self._console.width - ROOM_FOR_TEXT))
        rows = [Text.from_markup(row) for row in view.panel(story, seen, bars)]
        for row in rows:
            row.no_wrap = True
            row.overflow = "ellipsis"
        # A fixed width: the frame shall not follow the length of what is said inside.
        self.panel = Panel(
            Group(*rows),
            title=Text(view.title(story), style="dim"),
            title_align="left",
            border_style="dim",
            width=min(self._console.width, bars + ROOM_FOR_TEXT),
        )

    def line(self, sign: RenderableType, text: str) -> RenderableType:
        """One line: sign, seconds, label, text."""
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=1)
        grid.add_column(justify="right", width=7, no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        seconds = f"{time.monotonic() - self._start:.1f} s"
        grid.add_row(sign, f"[dim]{seconds}[/]", f"[bold]{escape(self._label)}[/]", escape(text))
        return grid

    def __rich__(self) -> RenderableType:
        line = self.line(self._spinner, self._note)
        return line if self.panel is None else Group(self.panel, line)
