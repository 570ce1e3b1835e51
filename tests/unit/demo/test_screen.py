"""What is seen of the demo, with and without a terminal."""

import asyncio
import io

import pytest
from rich.console import Console
from tests.unit.demo.stories import whole_story

from lepton_demo.screen import Plain
from lepton_demo.terminal import Terminal
from lepton_demo.view import Traffic


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Page:
    """A console whose text can be read."""

    def __init__(self, *, terminal: bool) -> None:
        self._file = io.StringIO()
        self.console = Console(file=self._file, force_terminal=terminal, width=120)

    def lines(self) -> list[str]:
        return self._file.getvalue().splitlines()

    def text(self) -> str:
        return self._file.getvalue()


def test_without_a_terminal_a_step_is_one_line() -> None:
    page, clock = Page(terminal=False), Clock()
    with Plain(page.console, clock).step("1/9 Preflight") as step:
        clock.now = 2.5
        step.note("looking")
        step.done("all there")
    assert page.lines() == ["ok     1/9 Preflight: all there (2.5 s)"]


def test_without_a_terminal_a_long_step_says_now_and_then_what_it_does() -> None:
    page, clock = Page(terminal=False), Clock()
    with Plain(page.console, clock).step("Images") as step:
        for second in range(25):
            clock.now = float(second)
            step.note("building" if second < 15 else "pushing")
    assert page.lines() == [
        "  ...  Images: building (10 s)",
        "  ...  Images: pushing (20 s)",
        "ok     Images (24.0 s)",
    ]


def test_without_a_terminal_a_load_is_a_line_every_few_seconds() -> None:
    page, clock = Page(terminal=False), Clock()
    with Plain(page.console, clock).step("Load") as step:
        for second in range(12):
            clock.now = float(second)
            step.figures(whole_story(), Traffic(answered=12))
    assert sum("HPA wants 1 of at most 3" in line for line in page.lines()) == 2


@pytest.mark.parametrize(
    ("error", "sign"), [(ValueError, "failed"), (asyncio.CancelledError, "ended")]
)
def test_a_step_that_does_not_end_well_says_so(error: type[BaseException], sign: str) -> None:
    page = Page(terminal=False)
    with pytest.raises(error), Plain(page.console, Clock()).step("Lepton"):
        raise error
    assert page.lines()[0].startswith(f"{sign:<6} Lepton")


def test_markup_is_shown_as_text_where_there_are_no_colours() -> None:
    page = Page(terminal=False)
    Plain(page.console).show(["[bold]What[/] you \\[saw]"])
    assert page.lines() == ["What you [saw]"]


def test_on_a_terminal_finished_steps_stay() -> None:
    page = Page(terminal=True)
    screen = Terminal(page.console)
    with screen.step("1/2 Kubernetes") as step:
        step.done("v1.35 [up]")
    with pytest.raises(ValueError), screen.step("2/2 Lepton"):  # noqa: PT011
        raise ValueError
    last = [line for line in page.lines() if "Kubernetes" in line][-1]
    assert "✓" in last
    assert "v1.35 [up]" in last
    assert "✗" in page.lines()[-1]


def test_on_a_terminal_the_panel_of_a_load_stays_above_its_step() -> None:
    page = Page(terminal=True)
    with Terminal(page.console).step("Load") as step:
        step.figures(whole_story(), Traffic(answered=12, p50=0.1, p99=0.2, rate=1))
        step.done("three workers")
    text = page.text()
    assert "queue depth" in text
    assert text.rindex("queue depth") < text.rindex("three workers")


def test_a_narrow_terminal_cuts_text_and_breaks_no_line() -> None:
    page = Page(terminal=True)
    page.console.width = 60
    with Terminal(page.console).step("Load") as step:
        step.figures(whole_story(), Traffic(answered=12, p50=0.1, p99=0.2, rate=1))
    rows = [line for line in page.lines() if "queue depth" in line]
    assert rows
    assert all("│" in line for line in rows)
