"""Inputs of encoders as sent by tensors: texts, pairs of texts, or the model's own tokens."""

from collections.abc import Mapping, Sequence

import numpy as np

from lepton_worker.errors import InvalidRequest, RequestError, Violation
from lepton_worker.model import Model
from lepton_worker.request import Tokens
from lepton_worker.serving.inference.tensors import Tensor, texts
from lepton_worker.tasks.prepare import given_tokens, too_long
from lepton_worker.tasks.reading import Overflow, Reading, read_pairs, read_texts
from lepton_worker.tasks.windows import Window

TEXT, PAIR, IDS, MASK = "text", "text_pair", "input_ids", "attention_mask"


def one_kind(tensors: Mapping[str, Tensor], known: Sequence[str] = (TEXT, IDS)) -> str:
    """Whether a request has texts or tokens; raises InvalidRequest unless it has one of them."""
    kinds = [name for name in known if name in tensors]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        text = f"must have one of {', '.join(known)}, and has {found}"
        raise InvalidRequest([Violation("inputs", text)])
    for name, other in ((PAIR, TEXT), (MASK, IDS)):
        if name in tensors and kinds[0] != other:
            raise InvalidRequest([Violation("inputs", f"{name} goes with {other} only")])
    return kinds[0]


def same_rows(first: Tensor, second: Tensor) -> None:
    """Raise InvalidRequest unless both have as many rows."""
    if first.shape[0] != second.shape[0]:
        text = f"must have as many rows as {first.sent_as}, {first.shape[0]}"
        raise InvalidRequest([Violation(second.sent_as, text)])


def read(
    model: Model, tensors: Mapping[str, Tensor], overflow: Overflow, prefix: str = ""
) -> list[Reading]:
    """Inputs as the model will get them; raises InvalidRequest for what is no input at all."""
    if one_kind(tensors) == IDS:
        return [
            _whole(model, tokens, f"{IDS}[{index}]")
            for index, tokens in enumerate(token_rows(model, tensors))
        ]
    first = tensors[TEXT]
    if PAIR not in tensors:
        return read_texts(model, texts(first), overflow, first.sent_as, prefix)
    same_rows(first, tensors[PAIR])
    firsts, seconds = texts(first), texts(tensors[PAIR])
    _none_empty(first.sent_as, firsts)
    _none_empty(PAIR, seconds)
    pairs = list(zip(firsts, seconds, strict=True))
    return read_pairs(model, pairs, overflow, (first.sent_as, PAIR))


def _none_empty(name: str, items: Sequence[str]) -> None:
    wrong = [
        Violation(f"{name}[{index}]", "must not be empty")
        for index, text in enumerate(items)
        if not text
    ]
    if wrong:
        raise InvalidRequest(wrong)


def token_rows(model: Model, tensors: Mapping[str, Tensor]) -> list[Tokens]:
    """The rows of `input_ids` without those that `attention_mask` hides; raises InvalidRequest."""
    ids = np.asarray(tensors[IDS].values).reshape(tensors[IDS].shape)
    kept = np.ones_like(ids, dtype=bool)
    if MASK in tensors:
        if tensors[MASK].shape != tensors[IDS].shape:
            text = f"must have the shape of {IDS}, {list(tensors[IDS].shape)}"
            raise InvalidRequest([Violation(MASK, text)])
        kept = np.asarray(tensors[MASK].values).reshape(tensors[IDS].shape) != 0
    typed = model.tokenizer.frame().typed
    found = []
    for index, row in enumerate(ids):
        tokens = given_tokens(model, row[kept[index]].tolist(), f"{IDS}[{index}]")
        found.append(Tokens(tokens.ids, (0,) * len(tokens) if typed else None))
    return found


def _whole(model: Model, tokens: Tokens, field: str) -> Reading:
    """Tokens as they are: special ones are the caller's to add, and nothing is cut."""
    error: RequestError | None = None
    if len(tokens) > model.max_length:
        described = f"{len(tokens)} tokens are more than the {model.max_length}"
        error = too_long(model, described, field, len(tokens))
    return Reading((Window(tokens, 0, len(tokens)),), error=error)
