"""What the decoder asks of whoever chooses tokens."""

from collections.abc import Sequence
from typing import Protocol

import torch

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.errors import RequestError
from lepton_worker.request import TokenLogprob


class Choice(Protocol):
    """The next token of one sequence; `ended` says that nothing may follow it."""

    @property
    def token(self) -> int:
        """The token."""

    @property
    def logprob(self) -> TokenLogprob | None:
        """Its log probability, when asked for."""

    @property
    def ended(self) -> bool:
        """Whether a constraint is fulfilled with it."""


class Sampler(Protocol):
    """Chooses tokens, and keeps what that takes (random numbers, constraints) for each sequence
    from its first choice to its release: eviction does not concern it."""

    def choose(
        self, sequences: Sequence[DecoderSequence], logits: torch.Tensor
    ) -> Sequence[Choice | RequestError]:
        """One choice, or the sequence's own error, for each row of logits.

        Those are float32 of shape [sequences, vocabulary], and may be overwritten.
        """

    def release(self, sequence: DecoderSequence) -> None:
        """Forget a sequence; one that is not known is no error."""
