"""What the scheduler plans with: limits, requests in hand, and the plans themselves."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from lepton_worker.errors import ContextLengthExceeded, InvalidRequest, Violation
from lepton_worker.request import NO_OBJECTIVES, Caller, Objectives

NEIGHBOUR_FACTOR = 1.25
"""How much longer a step may be for the texts of busy tenants than without them."""


@dataclass(frozen=True)
class Limits:
    """What one engine can hold and compute.

    `slots` texts run at once. A step computes `step_tokens` at most, of which `prefill_tokens` may
    be prompts or inputs while any text waits for its next token. `cache_tokens` is how many tokens
    all seated texts may grow to together (0: no bound). `neighbour_factor` is how many times as
    long as without them a step may be for the work of tenants with more than a fair share (0: no
    bound, and nobody gives up a slot for another tenant).
    """

    slots: int
    step_tokens: int
    prefill_tokens: int
    cache_tokens: int
    neighbour_factor: float = NEIGHBOUR_FACTOR

    def __post_init__(self) -> None:
        if 0 != self.neighbour_factor < 1:
            raise ValueError(f"a step cannot be shorter than without neighbours: {self}")
        if min(self.slots, self.step_tokens, self.prefill_tokens) < 1 or self.cache_tokens < 0:
            raise ValueError(f"nothing could ever run within {self}")


@dataclass(eq=False)
class TextEntry:
    """A text to be generated: a prompt of `prompt` tokens, and `least_new` to `most_new` behind it.

    The engine keeps `computed` (tokens with state) and `length` (tokens known: the prompt and what
    was generated) up to date; `seated` and all below it belong to the planner. `turn` grows with
    each step that computes some of it, from text to text; `yielded` is how often it was evicted for
    another tenant; `first_at` is when it had its first token. A text with several `rows` is
    computed that many times side by side.
    """

    caller: Caller
    admitted_at: float
    deadline: float | None
    prompt: int
    most_new: int
    job: object
    rows: int = 1
    least_new: int = 0
    objectives: Objectives = NO_OBJECTIVES
    computed: int = field(default=0, init=False)
    length: int = field(init=False)
    seated: bool = field(default=False, init=False)
    passed: int = field(default=0, init=False)
    charged: bool = field(default=False, init=False)
    begun: bool = field(default=False, init=False)
    turn: int = field(default=0, init=False)
    yielded: int = field(default=0, init=False)
    first_at: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.length = self.prompt

    @property
    def generated(self) -> int:
        """Tokens generated so far."""
        return self.length - self.prompt

    @property
    def first_by(self) -> float | None:
        """When the first token should be there; None where that does not matter."""
        return self.objectives.first_by(self.admitted_at)

    @property
    def urgent_at(self) -> float | None:
        """The first moment at which it can be late; None where nothing of it can be."""
        moments = [moment for moment in (self.deadline, self.first_by) if moment is not None]
        return min(moments, default=None)

    @property
    def rest(self) -> int:
        """Tokens known that have no state: 1 once the text is past its prompt."""
        return self.length - self.computed

    @property
    def growth(self) -> int:
        """Tokens that the text can come to hold in the cache."""
        return self.rows * (self.prompt + self.most_new)


@dataclass(eq=False)
class ListEntry:
    """Inputs that are computed one by one, in any order; `lengths` are in tokens.

    `pending` has the places of those that no step has taken yet, the longest first.
    """

    caller: Caller
    admitted_at: float
    deadline: float | None
    lengths: Sequence[int]
    job: object
    pending: list[int] = field(init=False)
    pending_tokens: int = field(init=False)
    begun: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.pending = sorted(range(len(self.lengths)), key=lambda place: -self.lengths[place])
        self.pending_tokens = sum(self.lengths)

    def take(self, room: int | None) -> int | None:
        """Take the longest pending input of at most `room` tokens, or the longest of all.

        Returns its place, None if none is so short.
        """
        start = 0
        if room is not None:
            start = bisect_left(self.pending, -room, key=lambda place: -self.lengths[place])
        if start == len(self.pending):
            return None
        place = self.pending.pop(start)
        self.pending_tokens -= self.lengths[place]
        return place


Entry = TextEntry | ListEntry


@dataclass(frozen=True)
class Seating:
    """Who leaves and who enters the slots, to be carried out in this order."""

    evict: list[TextEntry] = field(default_factory=list)
    begin: list[TextEntry] = field(default_factory=list)


@dataclass(frozen=True)
class Share:
    """One step: the next tokens of texts, and the places of inputs of lists.

    `prefill` and `decode` say how many tokens of either kind that is together.
    """

    spans: list[tuple[TextEntry, int]]
    inputs: list[tuple[ListEntry, list[int]]]
    prefill: int
    decode: int

    def __bool__(self) -> bool:
        return bool(self.spans or self.inputs)


def check_growth(prompt: int, most_new: int, cache_tokens: int, rows: int = 1) -> None:
    """Raise ContextLengthExceeded for a text that could not be held even alone."""
    if 0 < cache_tokens < rows * (prompt + most_new):
        beams = f", for each of {rows} beams," if rows > 1 else ""
        raise ContextLengthExceeded(
            [
                Violation(
                    "max_new_tokens",
                    f"{prompt} tokens of prompt and {most_new} new ones{beams} can grow to more"
                    f" than the {cache_tokens} tokens that fit into memory",
                )
            ],
            metadata={"cache_tokens": str(cache_tokens), "prompt_tokens": str(prompt)},
        )


def check_inputs(entry: ListEntry) -> None:
    """Raise InvalidRequest for a list in which there is nothing to compute."""
    if not entry.pending:
        raise InvalidRequest([Violation("inputs", "there are none")])
