"""Where tokens stand in a text, and which of them make one word."""

import re
from collections.abc import Sequence

from lepton_worker.scripts import SPACELESS

APART = re.compile(f"[{SPACELESS}]")


def origins(text: str) -> list[int]:
    """For each place in `text.lower()`, and the one behind its end, the place in `text`.

    The two differ in length where a capital letter becomes two characters.
    """
    places = [place for place, letter in enumerate(text) for _ in letter.lower()]
    return [*places, len(text)]


def word_numbers(
    text: str, starts: Sequence[int | None], unknown: Sequence[bool]
) -> list[int | None]:
    """A number for the word of each token, for tokenizers that mark no pieces of words.

    A word begins behind a space, with an unknown token, and with each character of a script
    without spaces. `starts` are the tokens' places, None for special tokens.
    """
    numbers: list[int | None] = []
    word, last = -1, None
    for start, is_unknown in zip(starts, unknown, strict=True):
        if start is None:
            numbers.append(None)
            continue
        if start != last and (is_unknown or word < 0 or _begins(text, start)):
            word += 1
        numbers.append(word)
        last = start
    return numbers


def _begins(text: str, start: int) -> bool:
    near = text[max(0, start - 1) : start + 1]
    return any(letter.isspace() for letter in near) or bool(APART.match(near[-1:]))
