"""What an encoder-decoder declares: prompts, languages, and what its decoder begins with."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from lepton_worker.backends.transformers.generation import resolved, unhonoured
from lepton_worker.backends.transformers.seq2seq_facts import (
    Beginning,
    beams,
    beginning,
    languages,
    most_beams,
    prompts,
    task_defaults,
)
from lepton_worker.errors import WeightsCorrupt
from lepton_worker.model import GenerationDefaults, Model
from lepton_worker.request import Beams, Sampling


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


def a_module(start: Any = None, own: Any = None, bos: Any = None) -> Any:
    said = SimpleNamespace(decoder_start_token_id=start, bos_token_id=bos)
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


def with_beams(count: int) -> GenerationDefaults:
    return GenerationDefaults(beams=Beams(count))


def test_beams_are_told(echo_model: Model) -> None:
    assert beams(echo_model) == "1: one token after the other"
    more = dataclasses.replace(echo_model, defaults=with_beams(4))
    assert beams(more) == "4: as the model's own config asks"
    tasks = {"summarization": with_beams(6), "translation_en_to_de": with_beams(1)}
    single = dataclasses.replace(echo_model, task_defaults=tasks)
    assert beams(single) == "1: one token after the other; summarization 6"
    assert (most_beams(echo_model), most_beams(more), most_beams(single)) == (1, 4, 6)


def test_what_is_said_for_one_task_goes_over_what_holds_for_all() -> None:
    set_for_all = {"num_beams": 2, "max_length": 50, "eos_token_id": 1, "forced_eos_token_id": 1}
    whole = SimpleNamespace(to_diff_dict=lambda: set_for_all, eos_token_id=1)
    said = {
        "summarization": {
            "prefix": "x: ",
            "num_beams": 4,
            "length_penalty": 2.0,
            "early_stopping": True,
            "no_repeat_ngram_size": 3,
            "min_length": 30,
        },
        "translation_en_to_de": {"prefix": "y: "},
    }
    found = task_defaults({"task_specific_params": said}, whole)
    assert list(found) == ["summarization"]
    own = found["summarization"]
    assert own.beams == Beams(4, 2.0, True, (1,))
    assert (own.max_new_tokens, own.min_new_tokens, own.no_repeat_ngram) == (49, 29, 3)
    assert own.ends == {1}
    assert task_defaults({}, whole) == {}


@pytest.mark.parametrize(
    ("said", "beams"),
    [
        ({}, Beams()),
        ({"num_beams": 5, "length_penalty": 0.6}, Beams(5, 0.6)),
        ({"num_beams": 2, "early_stopping": "never"}, Beams(2, 1.0, "never")),
        ({"num_beams": 2, "forced_eos_token_id": [3, 4]}, Beams(2, ends=(3, 4))),
    ],
)
def test_beams_of_a_generation_config(said: dict[str, Any], beams: Beams) -> None:
    assert resolved(said, None, True).beams == beams
    assert unhonoured(said, True) == []
    assert resolved(said, None, False).beams == Beams()
