"""Who guesses for which texts of a step, and what is kept of how that went."""

from collections.abc import Sequence
from typing import Literal, Protocol

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.speculation.policy import Acceptance, draft_length, refusal


class Drafter(Protocol):
    """Guesses what follows texts."""

    def draft(self, wanted: Sequence[tuple[DecoderSequence, int]]) -> list[list[int]]:
        """For each sequence, at most so many tokens that may follow its `ids`."""

    def release(self, sequence: DecoderSequence) -> None:
        """Forget a sequence; one that is not known is no error."""


class Drafts(Protocol):
    """What the decoder asks of whoever guesses."""

    def draft(self, sequences: Sequence[DecoderSequence], running: int) -> list[list[int]]:
        """Tokens that may follow each sequence, none where guessing is not worth it.

        `running` texts have a slot, in this step or not.
        """

    def verified(self, sequence: DecoderSequence, drafted: int, accepted: int) -> None:
        """Of so many tokens guessed for a sequence, the first ones were right."""

    def release(self, sequence: DecoderSequence) -> None:
        """Forget a sequence; one that is not known is no error."""


class Drafting:
    """Guesses by one method, as many at a time as each text's luck allows."""

    def __init__(
        self, drafter: Drafter, method: Literal["ngram", "assistant"], most: int, cost: float
    ) -> None:
        """`most` tokens at a time; `cost` of one is a share of a step (see `policy.gain`)."""
        self._drafter = drafter
        self._method: Literal["ngram", "assistant"] = method
        self._most, self._cost = most, cost
        self._records: dict[DecoderSequence, Acceptance | None] = {}

    def draft(self, sequences: Sequence[DecoderSequence], running: int) -> list[list[int]]:
        """Tokens that may follow each sequence, none where guessing is not worth it."""
        lengths = [self._length(sequence, running) for sequence in sequences]
        wanted = [
            (sequence, length)
            for sequence, length in zip(sequences, lengths, strict=True)
            if length
        ]
        found = iter(self._drafter.draft(wanted) if wanted else [])
        return [next(found) if length else [] for length in lengths]

    def verified(self, sequence: DecoderSequence, drafted: int, accepted: int) -> None:
        """Learn from what came of a guess, or of a step without."""
        record = self._records.get(sequence)
        if record is not None:
            record.note(drafted, accepted)

    def release(self, sequence: DecoderSequence) -> None:
        """Forget a sequence; one that is not known is no error."""
        self._records.pop(sequence, None)
        self._drafter.release(sequence)

    def _length(self, sequence: DecoderSequence, running: int) -> int:
        if sequence not in self._records:
            refused = refusal(sequence.sampling, self._method)
            self._records[sequence] = None if refused else Acceptance()
        record = self._records[sequence]
        if record is None:
            return 0
        left = sequence.sampling.max_new_tokens - (len(sequence.ids) - len(sequence.prompt))
        return draft_length(running, record, self._cost, self._most, left)
