"""A long text in parts that a model can take one by one.

Parts follow one another and do not overlap: what is written of two that did would be said twice.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence

WIDE_ENDS = "\u3002\uff01\uff1f"
"""Full stop, exclamation and question mark of Chinese and Japanese; no space follows them."""
CLOSING = "\"'\u201d\u2019\u00bb)\\]"
SENTENCE_END = re.compile(rf"[.!?{WIDE_ENDS}]+[{CLOSING}]*\s+|[{WIDE_ENDS}][{CLOSING}]*|\n\s*")
WORD_END = re.compile(r"\s+")


def parts(text: str, ends: Sequence[int], room: int) -> list[str]:
    """The text in parts of at most `room` tokens each; all of them joined are the text.

    `ends` is where each token of the text ends, in characters. A part ends with a sentence if one
    ends in its second half, else with a word, else wherever it must.
    """
    found: list[str] = []
    start = token = 0
    while len(ends) - token > room:
        # Not within the tokens of one character; and at least one, however many those are.
        last = bisect_left(ends, ends[token + room], token, token + room) - 1
        most = max(ends[last] if last >= token else 0, start + 1)
        cut = start + _cut(text[start:most])
        found.append(text[start:cut])
        start = cut
        while token < len(ends) and ends[token] <= start:
            token += 1
    return [*found, text[start:]] if start < len(text) else found


def joint(part: str) -> str:
    """What stands between what is written of a part and of the next one."""
    space = part[len(part.rstrip()) :]
    return "\n" if "\n" in space else space[:1]


def _cut(text: str) -> int:
    """Where to end a part that may be this long."""
    half = len(text) // 2
    for pattern in (SENTENCE_END, WORD_END):
        cuts = [match.end() for match in pattern.finditer(text, half)]
        if cuts:
            return cuts[-1]
    return len(text)
