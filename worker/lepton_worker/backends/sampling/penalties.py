"""Penalties, bans and biases: changes to single logits, for all rows of a batch in one go."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch


class Tally:
    """How often each token occurred; tensors [distinct tokens] on the device, kept up to date."""

    def __init__(self, vocabulary: int, device: torch.device) -> None:
        self._vocabulary = vocabulary
        self._slots: dict[int, int] = {}
        self._tokens = torch.zeros(16, dtype=torch.long, device=device)
        self._counts = torch.zeros(16, dtype=torch.float32, device=device)

    @property
    def tokens(self) -> torch.Tensor:
        """The tokens that occurred, each once, in the order in which they first did."""
        return self._tokens[: len(self._slots)]

    @property
    def counts(self) -> torch.Tensor:
        """How often each of `tokens` occurred, as float32."""
        return self._counts[: len(self._slots)]

    def add(self, ids: Sequence[int]) -> None:
        """Count more tokens; those that have no logit are left out."""
        added = Counter(token for token in ids if 0 <= token < self._vocabulary)
        if not added:
            return
        places = [self._slots.setdefault(token, len(self._slots)) for token in added]
        self._grow(len(self._slots))
        device = self._tokens.device
        slots = torch.tensor(places, device=device)
        self._tokens[slots] = torch.tensor(list(added), device=device)
        self._counts[slots] += torch.tensor(list(added.values()), device=device)

    def _grow(self, size: int) -> None:
        have = len(self._tokens)
        if size > have:
            room = max(size, 2 * have) - have
            self._tokens = torch.nn.functional.pad(self._tokens, (0, room))
            self._counts = torch.nn.functional.pad(self._counts, (0, room))


class Ngrams:
    """Which tokens would repeat a run of `size` tokens."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._recent: tuple[int, ...] = ()
        self._next: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)

    def add(self, ids: Sequence[int]) -> None:
        """Take more tokens of the text."""
        for token in ids:
            if len(self._recent) == self._size - 1:
                self._next[self._recent].append(token)
            self._recent = (*self._recent, token)[max(0, len(self._recent) + 2 - self._size) :]

    def banned(self) -> list[int]:
        """Tokens that followed the last `size` - 1 tokens before."""
        return self._next.get(self._recent, [])


@dataclass(frozen=True)
class Bias:
    """Fixed additions to some logits: tensors [tokens] on the device."""

    tokens: torch.Tensor
    amounts: torch.Tensor

    @classmethod
    def of(
        cls, pairs: Iterable[tuple[int, float]], vocabulary: int, device: torch.device
    ) -> "Bias":
        """Tokens that have no logit are left out."""
        kept = {token: amount for token, amount in pairs if 0 <= token < vocabulary}
        return cls(
            torch.tensor(list(kept), dtype=torch.long, device=device),
            torch.tensor(list(kept.values()), dtype=torch.float32, device=device),
        )


@dataclass
class Edits:
    """Changes to the rows of a batch, gathered first and then applied together.

    `places` are tokens, `row` is the row of the batch that they are of.
    """

    vocabulary: int
    device: torch.device
    _repeated: "Gathered" = field(init=False)
    _present: "Gathered" = field(init=False)
    _biased: "Gathered" = field(init=False)
    _banned: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._repeated, self._present, self._biased = Gathered(), Gathered(), Gathered()

    def repetition(self, row: int, tally: Tally, penalty: float) -> None:
        """Positive logits are divided by the penalty, negative ones multiplied (Keskar et al.,
        "CTRL", 2019)."""
        self._repeated.add(self._places(row, tally.tokens), torch.full_like(tally.counts, penalty))

    def presence(self, row: int, tally: Tally, presence: float, frequency: float) -> None:
        """Take `presence` off the logit of each token that occurred, and `frequency` for each
        time that it did, as OpenAI defines the two."""
        self._present.add(self._places(row, tally.tokens), presence + frequency * tally.counts)

    def bias(self, row: int, bias: Bias) -> None:
        """Add to some logits."""
        self._biased.add(self._places(row, bias.tokens), bias.amounts)

    def ban(self, row: int, tokens: Iterable[int]) -> None:
        """Make tokens impossible."""
        start = row * self.vocabulary
        self._banned += [start + token for token in tokens if 0 <= token < self.vocabulary]

    def __bool__(self) -> bool:
        return bool(self._repeated or self._present or self._banned or self._biased)

    def apply(self, logits: torch.Tensor) -> None:
        """Change logits of shape [rows, vocabulary], float32 and contiguous, in place."""
        flat = logits.view(-1)
        if self._repeated:
            places, penalties = self._repeated.joined()
            found = flat[places]
            flat[places] = torch.where(found < 0, found * penalties, found / penalties)
        if self._present:
            places, amounts = self._present.joined()
            flat[places] -= amounts
        if self._banned:
            flat[torch.tensor(self._banned, device=self.device)] = float("-inf")
        if self._biased:
            places, amounts = self._biased.joined()
            flat[places] += amounts

    def _places(self, row: int, tokens: torch.Tensor) -> torch.Tensor:
        return tokens + row * self.vocabulary


@dataclass
class Gathered:
    """Places in the flat logits and a number for each, from several rows."""

    places: list[torch.Tensor] = field(default_factory=list)
    numbers: list[torch.Tensor] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.places)

    def add(self, places: torch.Tensor, numbers: torch.Tensor) -> None:
        """Take those of one more row."""
        self.places.append(places)
        self.numbers.append(numbers)

    def joined(self) -> tuple[torch.Tensor, torch.Tensor]:
        """All of them."""
        return torch.cat(self.places), torch.cat(self.numbers)
