"""What one step computes of one text, and the place where the text's state is."""

from dataclasses import dataclass
from typing import Protocol

from lepton_worker.backends.base import DecoderSequence


class Place(Protocol):
    """Where the state of a running text is: its first `known` tokens have some."""

    index: int
    known: int


@dataclass
class Work:
    """The `count` tokens of a text from `start` on, and the slot (or pages) for their state.

    `place` is its place among the spans of the step. `rows` of its last tokens need logits. The
    last tokens are those of `draft`, if any, which are guessed to follow the text.
    """

    place: int
    sequence: DecoderSequence
    slot: Place
    start: int
    count: int
    rows: int
    draft: tuple[int, ...] = ()

    @property
    def end(self) -> int:
        """How many tokens of the text have state behind the step."""
        return self.start + self.count

    @property
    def reaches_end(self) -> bool:
        """Whether a token is to be chosen behind it."""
        whole = self.end == len(self.sequence.ids) + len(self.draft)
        return whole and self.sequence.sampling.max_new_tokens > 0
