"""What of a model's generation config becomes defaults, and what is said of the rest."""

from typing import Any

import pytest

from lepton_worker.backends.transformers.generation import resolved, unhonoured
from lepton_worker.model import GenerationDefaults

pytestmark = pytest.mark.component


@pytest.mark.parametrize(
    ("said", "changed"),
    [
        ({}, {}),
        ({"temperature": 0.6}, {}),
        ({"do_sample": True}, {"temperature": 1.0}),
        ({"do_sample": True, "temperature": 0.6}, {"temperature": 0.6}),
        ({"top_p": 0.9, "top_k": 20, "min_p": 0.1}, {"top_p": 0.9, "top_k": 20, "min_p": 0.1}),
        ({"repetition_penalty": 1.2}, {"repetition_penalty": 1.2}),
        ({"no_repeat_ngram_size": 3}, {"no_repeat_ngram": 3}),
        ({"suppress_tokens": [5, 6]}, {"suppressed": (5, 6)}),
        ({"begin_suppress_tokens": [7]}, {"suppressed_first": (7,)}),
        ({"min_new_tokens": 4, "min_length": 9}, {"min_new_tokens": 4}),
        ({"max_new_tokens": 30}, {"max_new_tokens": 30}),
    ],
    ids=str,
)
@pytest.mark.parametrize("encoder_decoder", [False, True])
def test_resolved(said: dict[str, Any], changed: dict[str, Any], encoder_decoder: bool) -> None:
    assert resolved(said, None, encoder_decoder) == GenerationDefaults(**changed)
    assert unhonoured(said, True) == []


@pytest.mark.parametrize(("ends", "wanted"), [(None, set()), (2, {2}), ([2, 3], {2, 3})])
def test_ends(ends: int | list[int] | None, wanted: set[int]) -> None:
    assert resolved({}, ends, False).ends == wanted


def test_a_least_length_counts_what_the_decoder_has() -> None:
    said = {"min_length": 56}
    assert resolved(said, 2, True).min_new_tokens == 55
    assert unhonoured(said, True) == []
    assert resolved(said, 2, False).min_new_tokens == 0
    assert unhonoured(said, False) == ["min_length"]


def test_what_changes_nothing_is_not_complained_of() -> None:
    said = {"num_beams": 1, "min_length": 0, "typical_p": 1.0, "bos_token_id": 1, "use_cache": True}
    assert unhonoured(said, False) == []


def test_what_is_not_honoured_is_named() -> None:
    said = {"num_beams": 4, "forced_bos_token_id": 0, "length_penalty": 2.0, "top_k": 5}
    assert unhonoured(said, True) == []
    assert unhonoured({**said, "num_beam_groups": 2, "typical_p": 0.9}, True) == [
        "num_beam_groups",
        "typical_p",
    ]
    assert unhonoured(said, False) == ["forced_bos_token_id", "length_penalty", "num_beams"]
    assert unhonoured({"bad_words_ids": [[3], [4]]}, True) == []
    assert unhonoured({"bad_words_ids": [[3], [4, 5]]}, True) == ["bad_words_ids"]


def test_what_an_encoder_decoder_alone_has() -> None:
    said = {"max_length": 142, "forced_bos_token_id": 7, "bad_words_ids": [[2], [9], [4, 5]]}
    found = resolved(said, 2, True)
    assert (found.max_new_tokens, found.forced, found.suppressed) == (141, (7,), (9,))
    found = resolved(said, 2, False)
    assert (found.max_new_tokens, found.forced, found.suppressed) == (None, (), (9,))
