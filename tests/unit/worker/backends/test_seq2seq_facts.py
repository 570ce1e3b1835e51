"""What an encoder-decoder declares: prompts, languages, and what its decoder begins with."""

from types import SimpleNamespace
from typing import Any

import pytest

from lepton_worker.backends.transformers.seq2seq_facts import (
    Beginning,
    beams,
    beginning,
    languages,
    prompts,
)
from lepton_worker.errors import WeightsCorrupt
from lepton_worker.request import Sampling


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({}, {}),
        ({"task_specific_params": None}, {}),
        ({"prefix": " "}, {"summarization": " "}),
        (
            {
                "prefix": "x",
                "task_specific_params": {
                    "summarization": {"prefix": "summarize: ", "num_beams": 4},
                    "translation_en_to_de": {"prefix": "translate English to German: "},
                    "other": {"max_length": 3},
                    "odd": "text",
                },
            },
            {
                "summarization": "summarize: ",
                "translation_en_to_de": "translate English to German: ",
            },
        ),
    ],
)
def test_prompts(config: dict[str, Any], found: dict[str, str]) -> None:
    assert prompts(config) == found


def test_languages_by_their_tokens() -> None:
    said = ["eng_Latn", "en_XX", "__de__", "__ast__", "<s>", "<extra_id_0>", "de", "__1__", "EN_xx"]
    found = languages((text, number) for number, text in enumerate(said))
    assert found == {"eng_Latn": 0, "en_XX": 1, "de": 2, "ast": 3}


@pytest.mark.parametrize(
    ("tokens", "forced", "begun"),
    [
        ((2,), (), (2,)),
        ((2,), (9,), (2,)),
        ((8,), (), (8,)),
        ((8,), (9,), ()),
        ((8,), (3,), (8,)),
    ],
)
def test_a_language_takes_the_place_of_another(
    tokens: tuple[int, ...], forced: tuple[int, ...], begun: tuple[int, ...]
) -> None:
    known = Beginning(tokens, frozenset({8, 9}))
    assert known.of(Sampling(4, forced=forced)) == begun


def a_module(start: Any = None, own: Any = None, bos: Any = None, num_beams: Any = None) -> Any:
    said = SimpleNamespace(decoder_start_token_id=start, bos_token_id=bos, num_beams=num_beams)
    return SimpleNamespace(
        generation_config=said, config=SimpleNamespace(decoder_start_token_id=own)
    )


def test_the_first_that_says_so_names_the_beginning(echo_model: Any) -> None:
    assert beginning(a_module(3, 4, 5), echo_model).tokens == (3,)
    assert beginning(a_module(None, 4, 5), echo_model).tokens == (4,)
    assert beginning(a_module(None, None, 0), echo_model).tokens == (0,)
    assert beginning(a_module([3, 4]), echo_model).tokens == (3, 4)
    with pytest.raises(WeightsCorrupt, match="decoder_start_token_id"):
        beginning(a_module(), echo_model)


def test_beams_are_told() -> None:
    assert beams(a_module()) == beams(a_module(num_beams=1)) == "1: one token after the other"
    assert beams(a_module(num_beams=4)).endswith("asks for 4 beams")
