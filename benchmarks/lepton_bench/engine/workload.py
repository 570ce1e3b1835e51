"""What is asked: texts and prompts of drawn lengths, the same for the same seed."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

Count = Callable[[str], int]
"""Tokens of a text."""


@dataclass(frozen=True)
class Item:
    """One request. Encoders have no new tokens."""

    text: str
    prompt_tokens: int
    new_tokens: int = 0
    tenant: str = ""
    cancel_after: int | None = None
    """The caller hangs up when it has so many tokens."""
    patience: float | None = None
    """Seconds after which the caller has no use for the answer; a gRPC server is told."""
    ttft: float | None = None
    tpot: float | None = None
    """Seconds to the first token and between two that the caller wants; told by metadata."""


@dataclass(frozen=True)
class Lengths:
    """Log-normal lengths in tokens, cut to bounds; a share of all has the largest length."""

    median: float
    sigma: float
    low: int
    high: int
    share_of_longest: float = 0.0

    def draw(self, dice: random.Random) -> int:
        """One length."""
        if dice.random() < self.share_of_longest:
            return self.high
        length = round(math.exp(dice.gauss(math.log(self.median), self.sigma)))
        return min(max(length, self.low), self.high)


ENCODED = Lengths(median=48, sigma=0.9, low=8, high=510, share_of_longest=0.05)
"""Short texts with some long ones among them; 510 leaves room for two special tokens."""

CHAT_PROMPTS = Lengths(median=40, sigma=1.05, low=8, high=512)
CHAT_ANSWERS = Lengths(median=45, sigma=0.73, low=8, high=200)
"""Lengths as published for chats with assistants, a quarter of them: one core answers them."""

EVEN_PROMPTS = Lengths(median=90, sigma=0.25, low=64, high=128)
LONG_PROMPTS = Lengths(median=724, sigma=0.2, low=512, high=1024)


class Writer:
    """Writes texts of a wanted length in tokens, out of words whose tokens it counts."""

    def __init__(self, words: Sequence[str], count: Count, seed: int) -> None:
        self._words, self._count = words, count
        self._dice = random.Random(seed)
        self._known: dict[str, int] = {}

    def text(self, tokens: int) -> tuple[str, int]:
        """A text of at most `tokens` tokens, as near as words allow, and its count."""
        chosen: list[str] = []
        total = 0
        while True:
            word = self._dice.choice(self._words)
            cost = self._cost(word)
            if total + cost > tokens and chosen:
                return "".join(chosen).lstrip(), total
            chosen.append(f" {word}")
            total += cost

    def _cost(self, word: str) -> int:
        if word not in self._known:
            self._known[word] = self._count(f" {word}")
        return self._known[word]


def texts(writer: Writer, count: int, lengths: Lengths, seed: int) -> list[Item]:
    """Texts for an encoder."""
    dice = random.Random(seed)
    return [Item(*writer.text(lengths.draw(dice))) for _ in range(count)]


def prompts(
    writer: Writer, count: int, lengths: Lengths, answers: int | Lengths, seed: int
) -> list[Item]:
    """Prompts for a decoder, with answers of one length or of drawn lengths."""
    dice = random.Random(seed)
    result = []
    for _ in range(count):
        text, tokens = writer.text(lengths.draw(dice))
        new = answers if isinstance(answers, int) else answers.draw(dice)
        result.append(Item(text, tokens, new))
    return result


def together(first: Item, second: Item) -> Item:
    """The texts of both as one prompt, otherwise as the second."""
    return replace(
        second,
        text=f"{first.text} {second.text}",
        prompt_tokens=first.prompt_tokens + second.prompt_tokens,
    )


def with_cancelled(items: Sequence[Item], share: float, seed: int) -> list[Item]:
    """The same, but a share of the callers hangs up half-way through the answer."""
    dice = random.Random(seed)
    chosen = set(dice.sample(range(len(items)), round(share * len(items))))
    return [
        replace(item, cancel_after=max(1, item.new_tokens // 2)) if place in chosen else item
        for place, item in enumerate(items)
    ]


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Moments of arrival of a Poisson process in seconds from the start."""
    if rate <= 0:
        raise ValueError(f"rate must be above 0, not {rate}")
    dice = random.Random(seed)
    moments: list[float] = []
    moment = dice.expovariate(rate)
    while moment < seconds:
        moments.append(moment)
        moment += dice.expovariate(rate)
    return moments
