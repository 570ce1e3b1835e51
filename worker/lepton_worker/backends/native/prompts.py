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
        found = []
        for place in range(max(start, self.done), end):
            row = rows[place - 1 - start] if place > start else self.before
            if row is None:
                raise ValueError("the token in front of the span was never computed")
            found.append(described(row, ids[place], self.top))
        self.done = max(self.done, end)
        self.before = None if self.finished else rows[-1].clone()
        return tuple(found)


def described(row: torch.Tensor, token: int, top: int) -> TokenLogprob:
    """A token by the log probabilities [vocabulary] of its place, with the `top` most probable."""
    if not top:
        return TokenLogprob(token, float(row[token]))
    best = row.topk(top)
    pairs: Sequence[tuple[int, float]] = list(
        zip(best.indices.tolist(), best.values.tolist(), strict=True)
    )
    return TokenLogprob(token, float(row[token]), tuple(pairs))
