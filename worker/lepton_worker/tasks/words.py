"""Words of a text, in any script."""

import re
from collections.abc import Iterator

from lepton_worker.scripts import SPACELESS

WORD = re.compile(rf"[{SPACELESS}]|(?:(?![{SPACELESS}])\w)+(?:['\u2019-](?:(?![{SPACELESS}])\w)+)*")
APART = re.compile(f"[{SPACELESS}]")
LETTER = re.compile(rf"(?![{SPACELESS}])\w")


def words(text: str) -> Iterator[tuple[int, int]]:
    """Where the words are; each character of a script without spaces is one."""
    for match in WORD.finditer(text):
        yield match.span()


def whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """A span, widened over letters that belong to its first and last word."""
    while 0 < start < end and _within(text, start):
        start -= 1
    while start < end < len(text) and _within(text, end):
        end += 1
    return start, end


def _within(text: str, place: int) -> bool:
    """Whether a place stands between two letters of one word."""
    return bool(LETTER.match(text[place - 1]) and LETTER.match(text[place]))
