"""The model's own tokenizer, in a form that is safe and fast to use from several threads."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers
from transformers import AutoTokenizer

from lepton_worker.errors import TaskNotSupported, WeightsCorrupt
from lepton_worker.model import Tokenized
from lepton_worker.request import Tokens

BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")


class FastTokenizer:
    """A tokenizer of the `tokenizers` library.

    Always asked by `encode_batch`, which lets other threads run, and never reconfigured: a second
    copy, made when first needed, does the cutting.
    """

    def __init__(
        self, rust: tokenizers.Tokenizer, types: bool, prefix: str = "", lower: bool = False
    ) -> None:
        rust.no_truncation()
        rust.no_padding()
        self._rust = rust
        self._cutting: dict[int, tokenizers.Tokenizer] = {}
        self._types = types
        self._prefix, self._lower = prefix, lower
        self._open = _open_tokens(rust)

    def encode(self, texts: Sequence[str], cut_at: int | None = None) -> list[Tokenized]:
        """Tokenize with special tokens; a cut keeps the special tokens at the end."""
        rust = self._rust if cut_at is None else self._cut_by(cut_at)
        ready = [self._prefix + (text.lower() if self._lower else text) for text in texts]
        return [
            Tokenized(
                Tokens(tuple(item.ids), tuple(item.type_ids) if self._types else None),
                truncated=bool(item.overflowing),
            )
            for item in rust.encode_batch(ready, add_special_tokens=True)
        ]

    def _cut_by(self, length: int) -> tokenizers.Tokenizer:
        if length not in self._cutting:
            copy = tokenizers.Tokenizer.from_str(self._rust.to_str())
            copy.enable_truncation(length)
            self._cutting[length] = copy
        return self._cutting[length]

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens."""
        return self._rust.decode(list(ids), skip_special_tokens=True)

    def is_open(self, token: int) -> bool:
        """Whether it is one byte of a run that is decoded as a whole, or a special token, which
        is left out and so does not end such a run."""
        return token in self._open


def _open_tokens(rust: tokenizers.Tokenizer) -> frozenset[int]:
    vocabulary = rust.get_vocab(with_added_tokens=True)
    run = {number for token, number in vocabulary.items() if BYTE_TOKEN.fullmatch(token)}
    added = rust.get_added_tokens_decoder()
    return frozenset(run | {number for number, token in added.items() if token.special})


def load_tokenizer(folder: Path, prefix: str = "", lower: bool = False) -> FastTokenizer:
    """The tokenizer in a folder that is known to have one; raises LoadError."""
    try:
        loaded: Any = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        raise WeightsCorrupt(f"the tokenizer in {folder} cannot be read: {error}") from error
    rust = getattr(loaded, "backend_tokenizer", None)
    if not isinstance(rust, tokenizers.Tokenizer):
        raise TaskNotSupported(
            f"{type(loaded).__name__} has no form in the tokenizers library (tokenizer.json)"
        )
    return FastTokenizer(rust, "token_type_ids" in loaded.model_input_names, prefix, lower)
