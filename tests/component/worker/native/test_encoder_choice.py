"""Which models run over packed rows, and that all give what transformers says to each input."""

import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from lepton_testing.encoders import (
    LONGEST,
    build,
    far,
    order,
    pooling,
    stock,
    texts,
)
from lepton_worker.backends.native.encoder import PackedEncoder
from lepton_worker.backends.native.padded import SortedEncoder
from lepton_worker.backends.native.parity import choose_encoder, largest_difference
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.request import Task, Tokens

pytestmark = pytest.mark.component

CLOSE = 1e-5
EVERY = (Task.EMBED, Task.CLASSIFY, Task.TAG, Task.ANSWER)
PACKED = ("Bert", "DistilBert", "Roberta", "XLMRoberta", "Electra", "Albert", "ModernBert")
OTHERS = (
    *(("NomicBert", task) for task in EVERY[:3]),
    *(("Gte", task) for task in EVERY[:3]),
    *(("EuroBert", task) for task in EVERY[:3]),
    *((name, task) for name in ("Llama", "Mistral") for task in EVERY[:2]),
    ("ModernBertMean", Task.CLASSIFY),
)
SAME = "packed: same numbers as one by one"
OWN_ATTENTION = "computes attention in its own way"


@pytest.mark.parametrize(
    ("name", "task"), [*((name, task) for name in PACKED for task in EVERY), *OTHERS]
)
def test_packed_rows_give_what_transformers_gives(name: str, task: Task) -> None:
    loaded = build(name, task)
    says = stock(loaded)
    encoder, reason = choose_encoder(loaded, pooling(task), order(task))
    assert isinstance(encoder, PackedEncoder)
    assert reason == SAME
    inputs = texts(7, 1, 7, LONGEST, 20, 2, 33)
    expected = [says(tokens) for tokens in inputs]
    # Otherwise answers of another text would not be noticed.
    assert len({round(float(answer.flatten()[0]), 5) for answer in expected}) == len(inputs)
    for tokens, answer, right in zip(inputs, encoder.forward(inputs), expected, strict=True):
        assert isinstance(answer, torch.Tensor)
        assert far(answer, right) <= CLOSE
        (alone,) = encoder.forward([tokens])
        assert isinstance(alone, torch.Tensor)
        assert far(alone, right) <= CLOSE


@pytest.mark.parametrize(
    ("name", "task", "why"),
    [
        ("DebertaV2", Task.EMBED, f"padded: DebertaV2 {OWN_ATTENTION}"),
        ("DebertaV2", Task.CLASSIFY, f"padded: DebertaV2 {OWN_ATTENTION}"),
        ("DebertaV2", Task.TAG, f"padded: DebertaV2 {OWN_ATTENTION}"),
        ("DebertaV2", Task.ANSWER, f"padded: DebertaV2 {OWN_ATTENTION}"),
        ("MPNet", Task.EMBED, f"padded: MPNet {OWN_ATTENTION}"),
        ("RoFormer", Task.CLASSIFY, "padded: RoFormer counts positions in its own way"),
        # It mixes each token's embedding with those of its neighbours in the row.
        ("MobileBert", Task.TAG, "padded: MobileBert gives other numbers packed, by"),
        ("Bart", Task.CLASSIFY, "padded: Bart has an encoder and a decoder"),
    ],
)
def test_other_models_get_padded_batches(name: str, task: Task, why: str) -> None:
    changes = {"embedding_size": 16, "intra_bottleneck_size": 16} if name == "MobileBert" else {}
    loaded = build(name, task, **changes)
    says = stock(loaded)
    encoder, reason = choose_encoder(loaded, pooling(task), order(task))
    assert isinstance(encoder, SortedEncoder)
    assert reason.startswith(why)
    inputs = [Tokens((*tokens.ids, 2)) for tokens in texts(7, 1, 7, LONGEST - 1, 20, 2, 33)]
    for tokens, answer in zip(inputs, encoder.forward(inputs), strict=True):
        assert isinstance(answer, torch.Tensor)
        assert far(answer, says(tokens)) <= CLOSE


@pytest.mark.parametrize("name", ["Bert", "Albert", "Electra"])
@pytest.mark.parametrize("task", EVERY)
def test_numbers_of_two_texts_in_one_input(name: str, task: Task) -> None:
    loaded = build(name, task)
    says = stock(loaded)
    encoder, _ = choose_encoder(loaded, pooling(task), order(task))
    (plain,), both = texts(12, seed=2), texts(9, 30, seed=3, types=True)
    inputs = [both[0], plain, both[1]]
    for tokens, answer in zip(inputs, encoder.forward(inputs), strict=True):
        assert isinstance(answer, torch.Tensor)
        assert far(answer, says(tokens)) <= CLOSE
    numbered = Tokens(plain.ids, (0, *[1] * 11))
    assert far(says(numbered), says(plain)) > CLOSE


@pytest.mark.parametrize("mode", ["cls", "mean", "lasttoken"])
@pytest.mark.parametrize("name", ["Bert", "Llama"])
def test_vectors_are_pooled_within_each_text(name: str, mode: str) -> None:
    loaded = build(name, Task.EMBED)
    says = stock(loaded, mode)
    encoder, reason = choose_encoder(loaded, pooling(Task.EMBED, mode), order(Task.EMBED))
    assert reason == SAME
    inputs = texts(3, 9, 9, 1, 40)
    for tokens, answer in zip(inputs, encoder.forward(inputs), strict=True):
        assert isinstance(answer, torch.Tensor)
        assert far(answer, says(tokens)) <= CLOSE


def test_real_weights_run_packed(minilm: Path) -> None:
    module = AutoModel.from_pretrained(minilm).eval()
    loaded = Loaded(module, build("Bert", Task.EMBED).facts, module.config.pad_token_id)
    says = stock(loaded)
    encoder, reason = choose_encoder(loaded, pooling(Task.EMBED), order(Task.EMBED))
    assert reason == SAME
    inputs = texts(12, 60, 3, 12)
    for tokens, answer in zip(inputs, encoder.forward(inputs), strict=True):
        assert isinstance(answer, torch.Tensor)
        assert far(answer, says(tokens)) <= CLOSE


def test_how_much_may_differ_can_be_given() -> None:
    loaded = build("MobileBert", Task.TAG, embedding_size=16, intra_bottleneck_size=16)
    _, reason = choose_encoder(loaded, None, order(Task.TAG), tolerance=1.0)
    assert reason == SAME


def test_padding_tokens_within_a_text_are_counted_as_the_model_does() -> None:
    loaded = build("Roberta", Task.CLASSIFY)
    says = stock(loaded)
    encoder, _ = choose_encoder(loaded, None, order(Task.CLASSIFY))
    odd = Tokens((7, loaded.padding or 0, 9, 11, loaded.padding or 0, 13))
    answers = encoder.forward([*texts(4), odd, *texts(8)])
    assert isinstance(answers[1], torch.Tensor)
    assert far(answers[1], says(odd)) <= CLOSE


def test_a_model_with_a_window_is_tried_beyond_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from lepton_worker.backends.native import attention_packed

    def everything(self: object, length: int, *_: object) -> torch.Tensor:
        return torch.ones(length, length, dtype=torch.bool)

    monkeypatch.setattr(attention_packed.Segments, "window", everything)
    _, reason = choose_encoder(build("ModernBert", Task.TAG), None, order(Task.TAG))
    assert reason.startswith("padded: ModernBert gives other numbers packed")


def test_positions_that_depend_on_neighbours_are_computed_one_by_one() -> None:
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
    loaded = build("Llama", Task.EMBED, rope_parameters=rope)
    _, reason = choose_encoder(loaded, pooling(Task.EMBED), order(Task.EMBED))
    assert reason.startswith("packed")  # no text is longer than what the positions are made for
    longest = loaded.module.config.max_position_embeddings + 1
    loaded = build("Llama", Task.EMBED, rope_parameters=rope)
    facts = dataclasses.replace(loaded.facts, max_length=longest)
    loaded = dataclasses.replace(loaded, facts=facts)
    encoder, reason = choose_encoder(loaded, pooling(Task.EMBED), order(Task.EMBED))
    assert reason == "one by one: positions of Llama depend on the longest text"
    assert encoder.groups([4, 4, 4], ["", "", ""]) == [[0], [1], [2]]


def test_a_model_that_answers_otherwise_in_batches_is_computed_one_by_one() -> None:
    loaded = build("DebertaV2", Task.CLASSIFY)
    forward = loaded.module.forward

    def mixed(**arguments: torch.Tensor) -> object:
        output = forward(**arguments)
        output.logits = output.logits + len(output.logits)
        return output

    loaded.module.forward = mixed
    encoder, reason = choose_encoder(loaded, None, order(Task.CLASSIFY))
    assert reason == "one by one: DebertaV2 gives other numbers in batches"
    assert encoder.groups([4, 4], ["", ""]) == [[0], [1]]


def test_a_refused_model_keeps_its_own_attention() -> None:
    loaded = build("MobileBert", Task.TAG, embedding_size=16, intra_bottleneck_size=16)
    before = loaded.module.config._attn_implementation
    choose_encoder(loaded, None, order(Task.TAG))
    assert loaded.module.config._attn_implementation == before


@pytest.mark.parametrize(
    ("got", "far_off"),
    [([1.0, 4.0], 0.0), ([1.0, 3.0], 0.25), ([1.0], None), ([1.0, float("nan")], None)],
)
def test_difference_is_by_the_largest_number(got: list[float], far_off: float | None) -> None:
    difference = largest_difference([torch.tensor(got)], [torch.tensor([1.0, 4.0])])
    assert difference == (float("inf") if far_off is None else far_off)
