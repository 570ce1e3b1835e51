"""Tokens to text as they come: only text that can no longer change is given out."""

from lepton_worker.model import Tokenizer

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Detokenizer:
    """Text of one growing token sequence.

    All pieces joined equal the decoded whole. Tokens are held back while the text ends within a
    character, or within a run of byte tokens that a later one could still make invalid.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        # Decoded anew with each step, so that a token's text may depend on the one in front of it
        # (a leading space is dropped at the very beginning only).
        self._context: list[int] = []
        self._context_text = ""
        self._tail: list[int] = []

    def add(self, token: int) -> str:
        """Take one more token; returns the text that is certain now, often of several tokens."""
        self._tail.append(token)
        if self._tokenizer.is_open(token):
            return ""
        text = self._tail_text()
        if not text or text.endswith(REPLACEMENT):
            return ""
        self._context, self._tail = self._tail, []
        self._context_text = self._tokenizer.decode(self._context)
        return text

    def flush(self) -> str:
        """The rest, when no token will follow."""
        text = self._tail_text()
        self._tail = []
        return text

    def _tail_text(self) -> str:
        whole = self._tokenizer.decode([*self._context, *self._tail])
        return whole[len(self._context_text) :]
