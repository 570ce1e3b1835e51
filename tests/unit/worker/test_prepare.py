"""Inputs against the model's length and vocabulary."""

import pytest

from lepton_worker.errors import ContextLengthExceeded, InvalidRequest
from lepton_worker.model import Model
from lepton_worker.tasks.prepare import LONGEST_TOKEN, complaint, given_tokens, tokenized


@pytest.mark.parametrize(
    ("length", "truncate", "kept", "cut", "refused"),
    [
        (64, False, 64, False, False),
        (65, False, 65, False, True),
        (64, True, 64, False, False),
        (65, True, 64, True, False),
        (64 * LONGEST_TOKEN + 1, False, 64 * LONGEST_TOKEN, False, True),
        (64 * LONGEST_TOKEN + 1, True, 64, True, False),
    ],
)
def test_too_long_is_refused_or_cut_never_silently(
    echo_model: Model, length: int, truncate: bool, kept: int, cut: bool, refused: bool
) -> None:
    text = "x" * length
    (result,) = tokenized(echo_model, [text], truncate)
    assert (len(result.tokens), result.truncated) == (kept, cut)
    wrong = complaint(echo_model, text, result, "inputs[0]")
    assert isinstance(wrong, ContextLengthExceeded) == refused
    if wrong is not None:
        assert wrong.violations[0].field == "inputs[0]"
        assert wrong.metadata["max_length"] == "64"


@pytest.mark.parametrize(
    ("ids", "field"),
    [([], "tokens.ids"), ([1, 257], "tokens.ids[1]"), ([-1], "tokens.ids[0]")],
)
def test_token_ids_have_to_be_tokens(echo_model: Model, ids: list[int], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        given_tokens(echo_model, ids, "tokens.ids")
    assert caught.value.violations[0].field == field
    assert given_tokens(echo_model, [0, 256], "tokens.ids").ids == (0, 256)
