"""Stop strings: the cut, and what is held back until it is sure."""

import pytest

from lepton_worker.tasks.stops import Stops


@pytest.mark.parametrize(
    ("stops", "pieces", "shown", "found"),
    [
        ((), ["abc", "def"], "abcdef", False),
        (("END",), ["abc", "END", "x"], "abc", True),
        (("END",), ["abcE", "N", "Dx"], "abc", True),
        (("END",), ["abcEN", "X"], "abcENX", False),
        (("aab",), ["aaab"], "a", True),
        (("b", "abc"), ["abc"], "a", True),
        (("bc", "abc"), ["abc"], "", True),
        (("abcd", "bc"), ["ab", "cd"], "a", True),
        (("x", "y"), ["1y2x"], "1", True),
        (("é\n",), ["caf", "é", "\n"], "caf", True),
    ],
)
@pytest.mark.parametrize("split", [False, True])
def test_text_ends_before_the_first_complete_stop_string(
    stops: tuple[str, ...], pieces: list[str], shown: str, found: bool, split: bool
) -> None:
    watch, out, done = Stops(stops), "", False
    for piece in [char for text in pieces for char in text] if split else pieces:
        text, done = watch.feed(piece)
        out += text
        if done:
            break
    if not done:
        out += watch.flush()
    assert (out, done) == (shown, found)


def test_what_may_become_a_stop_string_is_held_back_and_no_more() -> None:
    watch = Stops(("\n\nQ:",))
    assert watch.feed("answer\n") == ("answer", False)
    assert watch.feed("\n") == ("", False)
    assert watch.feed("more") == ("\n\nmore", False)
