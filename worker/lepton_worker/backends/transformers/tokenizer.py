"""Reading a folder's tokenizer, by transformers, whatever kind it is of."""

from pathlib import Path
from typing import Any

import tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lepton_worker.backends.fast_tokenizer import FastTokenizer
from lepton_worker.backends.transformers.spelled import is_spelled, spelled_tokenizer
from lepton_worker.errors import TaskNotSupported, WeightsCorrupt

__all__ = ["FastTokenizer", "load_tokenizer"]


def load_tokenizer(folder: Path, lower: bool = False) -> FastTokenizer:
    """The tokenizer in a folder that is known to have one; raises LoadError."""
    if is_spelled(folder):
        return spelled_tokenizer(folder, lower)
    try:
        loaded = _loaded(folder)
    except TaskNotSupported:
        raise
    except Exception as error:
        raise WeightsCorrupt(f"the tokenizer in {folder} cannot be read: {error}") from error
    rust = getattr(loaded, "backend_tokenizer", None)
    if not isinstance(rust, tokenizers.Tokenizer):
        raise TaskNotSupported(
            f"{type(loaded).__name__} has no form in the tokenizers library (tokenizer.json)"
        )
    typed = "token_type_ids" in loaded.model_input_names
    return FastTokenizer(rust, typed, lower, loaded.unk_token_id)


def _loaded(folder: Path) -> Any:
    """The tokenizer by the class that the folder names, or by its tokenizer.json alone.

    Classes that work with SentencePiece itself (Marian, M2M100) are not there without that
    package; a tokenizer.json beside their files says all that they would.
    """
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except ImportError as error:
        if (folder / "tokenizer.json").is_file():
            return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        raise TaskNotSupported(
            f"the tokenizer in {folder} is there as SentencePiece files alone, which are not read "
            "here: a tokenizer.json, as the tokenizers library writes it, has to be beside them"
        ) from error
