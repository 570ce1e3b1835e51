"""The batch of an encoder-decoder: whose rows are side by side, and the step that all take."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.native.seq2seq_cache import Rows
from lepton_worker.backends.native.seq2seq_positions import Positions


class Batch:
    """Texts with one row each, or one for each beam; takes `room` tokens at most."""

    def __init__(self, module: Any, room: int) -> None:
        self._module, self._room = module, room
        self._rows = Rows()
        self._members: list[tuple[DecoderSequence, int]] = []
        self._positions = Positions(module.get_decoder())

    @property
    def texts(self) -> list[DecoderSequence]:
        """The texts of the batch, each once."""
        return list(dict.fromkeys(text for text, _ in self._members))

    @property
    def tokens(self) -> int:
        """Tokens that the batch takes, padding included."""
        return self._rows.tokens()

    def __contains__(self, text: object) -> bool:
        return any(member is text for member, _ in self._members)

    def views(self, text: DecoderSequence) -> list[torch.Tensor]:
        """The keys and values of a text, each [heads, tokens, numbers], beam after beam."""
        return [view for row in self._places(text) for view in self._rows.views(row)]

    # -------------------------------------------------------------- who is in it
    def fits(self, rows: int, answer: int, prompt: int) -> bool:
        """Whether a text with so many rows of such lengths, and a token more of all, fits."""
        taken = self._rows.tokens(rows, answer, prompt) + len(self._rows) + rows
        return taken <= self._room

    def too_long(self) -> DecoderSequence | None:
        """The text with the longest rows, where a token more of all does not fit."""
        if not self._members or self._rows.tokens() + len(self._rows) <= self._room:
            return None
        lengths = zip(self._rows.lengths(), self._rows.prompts, self._members, strict=True)
        return max(lengths, key=lambda item: item[0] + item[1])[2][0]

    def add(self, text: DecoderSequence, cache: EncoderDecoderCache, held: int) -> None:
        """Take a text in with a cache of `held` rows: one, which is that of all, or all."""
        for row in range(_width(text)):
            self._rows.add(cache, row if held > 1 else 0)
            self._members.append((text, row))

    def copy(self, text: DecoderSequence) -> EncoderDecoderCache:
        """The state of a text, as if it had never been beside others."""
        return self._rows.copy(self._places(text))

    def remove(self, text: DecoderSequence) -> None:
        """Forget a text; one that is not there is no error."""
        for row in sorted(self._places(text), reverse=True):
            self._rows.remove(row)
            self._members[row] = self._members[-1]
            self._members.pop()

    def reorder(self, text: DecoderSequence, parents: list[int]) -> None:
        """Let the beams of a text go on from those that are their parents."""
        self._rows.reorder(self._places(text), parents)

    def _places(self, text: DecoderSequence) -> list[int]:
        """The rows of a text, in the order of its beams."""
        found = {beam: row for row, (member, beam) in enumerate(self._members) if member is text}
        return [found[beam] for beam in range(len(found))]

    # -------------------------------------------------------------- one step
    def step(self) -> list[tuple[DecoderSequence, torch.Tensor]]:
        """Logits [rows, vocabulary] behind the newest tokens of each text, float32.

        What fails leaves everything as it was.
        """
        logits = self._logits([_newest(*member) for member in self._members])
        self._rows.stepped()
        return [(text, logits[self._places(text)]) for text in self.texts]

    def _logits(self, newest: Sequence[int]) -> torch.Tensor:
        module, rows = self._module, self._rows
        cache = rows.caches()
        answers, prompts = rows.masks()
        # Of what was read only the shape is looked at: its keys and values are in the cache.
        shape = (len(newest), rows.longest, module.config.hidden_size)
        read = torch.zeros(1, dtype=module.dtype, device=module.device).expand(shape)
        self._positions.set(rows.lengths())
        try:
            found = module(
                encoder_outputs=BaseModelOutput(last_hidden_state=read),
                attention_mask=prompts,
                decoder_attention_mask=answers,
                decoder_input_ids=torch.tensor([[token] for token in newest], device=module.device),
                past_key_values=cache,
                use_cache=True,
            )
        finally:
            self._positions.set(())
        logits: torch.Tensor = found.logits[:, -1].float()
        return logits

    def close(self) -> None:
        """Leave the module as it was."""
        self._positions.close()


def _width(text: DecoderSequence) -> int:
    return 1 if text.search is None else text.search.width


def _newest(text: DecoderSequence, beam: int) -> int:
    return text.ids[-1] if text.search is None else text.search.beams[beam][-1]
