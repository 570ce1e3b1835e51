"""Progress is a live line on a terminal and plain lines elsewhere."""

import io

import pytest

from localcluster.progress import Progress


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_elsewhere_a_step_is_one_line() -> None:
    stream = io.StringIO()
    with Progress(stream).step("building"):
        pass
    assert stream.getvalue() == "  building: 0.0 s\n"


def test_on_a_terminal_the_line_is_overwritten() -> None:
    stream = Terminal()
    with Progress(stream).step("building"):
        assert stream.getvalue() == "  building ..."
    assert stream.getvalue().endswith("\r\033[K  building: 0.0 s\n")


def test_a_step_that_fails_says_so() -> None:
    stream = io.StringIO()
    with pytest.raises(RuntimeError), Progress(stream).step("building"):
        raise RuntimeError
    assert "building: failed after 0.0 s" in stream.getvalue()


def test_quiet_is_quiet() -> None:
    stream = io.StringIO()
    progress = Progress(stream, quiet=True)
    with progress.step("building"):
        progress.say("something")
    assert stream.getvalue() == ""
