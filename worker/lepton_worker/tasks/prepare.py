"""What every task does with its input first: tokenize it and hold it against the model's length."""

from collections.abc import Sequence

from lepton_worker.errors import ContextLengthExceeded, InvalidRequest, Violation
from lepton_worker.model import Model, Tokenized
from lepton_worker.request import Tokens

LONGEST_TOKEN = 128
"""Characters. A text of more than `max_length` times this is too long without being tokenized."""


def tokenized(model: Model, texts: Sequence[str], truncate: bool) -> list[Tokenized]:
    """Texts as tokens, cut at the model's length if `truncate`; far too long ones are not read
    to their end either way."""
    bound = model.max_length * LONGEST_TOKEN
    cut_at = model.max_length if truncate else None
    short = [text[:bound] for text in texts]
    results = model.tokenizer.encode(short, cut_at)
    return [
        Tokenized(result.tokens, result.truncated or (truncate and len(text) > bound))
        for text, result in zip(texts, results, strict=True)
    ]


def complaint(model: Model, text: str, result: Tokenized, field: str) -> InvalidRequest | None:
    """What is wrong with a tokenized input, if anything."""
    count = len(result.tokens)
    if count == 0:
        return InvalidRequest([Violation(field, "has no token that the model knows")])
    if max(result.tokens.ids) >= model.vocabulary:
        return unknown_token(max(result.tokens.ids), field)
    if not result.truncated and len(text) > model.max_length * LONGEST_TOKEN:
        described = f"{len(text)} characters are far more than the {model.max_length} tokens"
        return too_long(model, described, field, count)
    if count > model.max_length:
        return too_long(model, f"{count} tokens are more than the {model.max_length}", field, count)
    return None


def unknown_token(token: int, field: str) -> InvalidRequest:
    """The error for a text with a token that the tokenizer has and the model has not."""
    text = f"has token {token}, for which the model has no embedding"
    return InvalidRequest([Violation(field, text)])


def too_long(model: Model, described: str, field: str, count: int) -> ContextLengthExceeded:
    """The error for an input of more tokens than the model takes."""
    return ContextLengthExceeded(
        [Violation(field, f"{described} that the model takes")],
        metadata={"max_length": str(model.max_length), "prompt_tokens": str(count)},
    )


def given_tokens(model: Model, ids: Sequence[int], field: str) -> Tokens:
    """Token ids that a caller sent; raises InvalidRequest for what is no token of the model."""
    if not ids:
        raise InvalidRequest([Violation(field, "must not be empty")])
    for index, token in enumerate(ids):
        if not 0 <= token < model.vocabulary:
            text = f"{token} is not in the vocabulary, which has {model.vocabulary} tokens"
            raise InvalidRequest([Violation(f"{field}[{index}]", text)])
    return Tokens(tuple(ids))
