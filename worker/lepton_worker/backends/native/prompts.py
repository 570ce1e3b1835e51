"""Log probabilities of a prompt's own tokens, over spans and through evictions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lepton_worker.request import TokenLogprob


@dataclass
class PromptReport:
    """How far a prompt has been reported on.

    `done` tokens need no report any more; the first has none. `before` are the log probabilities
    [vocabulary] that the last computed token gave to the next one, once there is such a token.
    """

    length: int
    top: int
    done: int = 1
    before: torch.Tensor | None = None

    @property
    def finished(self) -> bool:
        """Whether every token of the prompt has been reported."""
        return self.done >= self.length

    def reusable(self) -> int:
        """How many leading tokens may be known without having been computed in a span."""
        return self.done if self.before is not None else self.done - 1

    def take(
        self, ids: Sequence[int], start: int, logits: torch.Tensor
    ) -> tuple[TokenLogprob, ...]:
        """What the tokens of `ids` from `start` on, whose logits these are, add to the report.

        `logits` are float32 of shape [tokens, vocabulary]. A token computed again is not reported
        again.
        """
        rows = logits.log_softmax(-1)
        end = min(start + len(rows), self.length)
        first = max(start, self.done)
        found: tuple[TokenLogprob, ...] = ()
        if first < end:
            found = described(self._places(start, rows, first, end), ids[first:end], self.top)
            self.done = end
        if self.finished:
            self.before = None
        elif end == self.done:
            # While tokens are computed again, what the next one to report needs stays.
            self.before = rows[-1].clone()
        return found

    def _places(self, start: int, rows: torch.Tensor, first: int, end: int) -> torch.Tensor:
        """The log probabilities of tokens `first` to `end`, each by the token in front of it."""
        if first > start:
            return rows[first - 1 - start : end - 1 - start]
        if self.before is None:
            raise ValueError("the token in front of the span was never computed")
        return torch.cat([self.before[None], rows[: end - 1 - start]])


def described(rows: torch.Tensor, tokens: Sequence[int], top: int) -> tuple[TokenLogprob, ...]:
    """Tokens by the log probabilities [tokens, vocabulary] of their places, each with the `top`
    most probable ones."""
    index = torch.tensor(tokens, dtype=torch.long, device=rows.device)[:, None]
    own = rows.gather(1, index)[:, 0].tolist()
    best = rows.topk(top)
    return tuple(
        TokenLogprob(token, logprob, tuple(zip(names, values, strict=True)))
        for token, logprob, names, values in zip(
            tokens, own, best.indices.tolist(), best.values.tolist(), strict=True
        )
    )
