"""A folder's tokenizer, from tokenizer.json as it is: transformers takes seconds to import."""

from pathlib import Path
from typing import Any

import tokenizers

from lepton_worker.backends.fast_tokenizer import FastTokenizer
from lepton_worker.errors import WeightsCorrupt
from lepton_worker.source.folder import read_json


def load_tokenizer(folder: Path, typed: bool, lower: bool = False) -> FastTokenizer:
    """The tokenizer in a folder that is known to have one; raises LoadError.

    `typed` says that the graph takes segment numbers. Folders without tokenizer.json are left to
    transformers, which builds a tokenizer from the older forms.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        from lepton_worker.backends.transformers.tokenizer import load_tokenizer as load_any

        return load_any(folder, lower)
    try:
        rust = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:
        raise WeightsCorrupt(f"the tokenizer in {folder} cannot be read: {error}") from error
    name = _unknown(folder, rust)
    return FastTokenizer(rust, typed, lower, None if name is None else rust.token_to_id(name))


def _unknown(folder: Path, rust: tokenizers.Tokenizer) -> str | None:
    """The token for what is not in the vocabulary."""
    file = folder / "tokenizer_config.json"
    declared: Any = read_json(file).get("unk_token") if file.is_file() else None
    if isinstance(declared, dict):
        declared = declared.get("content")
    if isinstance(declared, str):
        return declared
    own = getattr(rust.model, "unk_token", None)
    return own if isinstance(own, str) else None
