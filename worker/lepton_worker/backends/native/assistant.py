"""Guesses by a smaller model with the same vocabulary, run on slots of its own.

Assisted generation (Leviathan et al., "Fast Inference from Transformers via Speculative Decoding",
2023), with the assistant's most probable tokens as guesses.
"""

import logging
from collections.abc import Sequence

from lepton_worker.backends.base import DecoderSequence, Progress, Span
from lepton_worker.backends.native.decoder import SlotDecoder
from lepton_worker.errors import RequestError
from lepton_worker.request import Sampling, Tokens

log = logging.getLogger(__name__)

CATCH_UP = 64
"""Tokens that the assistant reads in a step before it guesses. More of them are read over several
steps in which it guesses nothing, so that no step of the model waits long for the assistant."""


class AssistantDrafter:
    """Guesses for as many texts at a time as the assistant's decoder has slots.

    What the assistant knows of a text is what an ended text of its own has left in a slot: each
    call begins a new one that has these tokens in common, and goes on from there.
    """

    def __init__(self, decoder: SlotDecoder, vocabulary: int, longest: int) -> None:
        """`decoder` runs the assistant; tokens from `vocabulary` on are unknown to one of the two
        models, and neither reads more than `longest`."""
        self._decoder = decoder
        self._vocabulary = vocabulary
        self._longest = longest
        self._failed = False

    def draft(self, wanted: Sequence[tuple[DecoderSequence, int]]) -> list[list[int]]:
        """For each sequence, at most so many tokens that may follow its `ids`."""
        shadows = [self._shadow(sequence, most) for sequence, most in wanted]
        if not self._failed:
            try:
                self._write([shadow for shadow in shadows if shadow is not None])
            except Exception:
                # Texts go on without guesses: nothing of theirs depends on the assistant.
                log.exception("the assistant failed and is not asked again")
                self._failed = True
        return [[] if shadow is None else self._made(shadow) for shadow in shadows]

    def release(self, sequence: DecoderSequence) -> None:
        """Nothing is kept of a sequence but a prefix that makes way for others."""

    def _shadow(self, sequence: DecoderSequence, most: int) -> DecoderSequence | None:
        """A text of the assistant's that begins as the sequence does; None if it cannot be one."""
        ids = tuple(sequence.ids)
        most = min(most, self._longest - len(ids))
        if most < 1 or max(ids) >= self._vocabulary:
            return None
        return DecoderSequence(Tokens(ids), Sampling(most))

    def _made(self, shadow: DecoderSequence) -> list[int]:
        made = shadow.ids[len(shadow.prompt) :]
        unknown = (place for place, token in enumerate(made) if token >= self._vocabulary)
        return made[: next(unknown, len(made))]

    def _write(self, shadows: Sequence[DecoderSequence]) -> None:
        """Let the assistant write all shadows side by side."""
        begun = []
        try:
            spans = []
            for shadow in shadows:
                known = self._decoder.begin(shadow)
                begun.append(shadow)
                spans.append(Span(shadow, min(len(shadow.ids) - known, CATCH_UP)))
            while spans:
                outcomes = self._decoder.step(spans)
                spans = [
                    Span(shadow, 1)
                    for shadow, outcome in zip(
                        (span.sequence for span in spans), outcomes, strict=True
                    )
                    if _goes_on(shadow, outcome)
                ]
        finally:
            for shadow in begun:
                self._decoder.release(shadow)


def _goes_on(shadow: DecoderSequence, outcome: Progress | RequestError) -> bool:
    """Whether the assistant has caught up with a text, and is to guess more; raises its error."""
    if isinstance(outcome, RequestError):
        raise outcome
    made = len(shadow.ids) - len(shadow.prompt)
    return outcome.token is not None and made < shadow.sampling.max_new_tokens
