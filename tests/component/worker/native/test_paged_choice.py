"""When pages are taken, and decode steps over buffers that stay where they are.

Here a graph is replayed by computing its step again: what a replay reads and writes is the same on
every device. The recording itself is CUDA's, see tests/gpu.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from transformers import BloomConfig

from lepton_testing.paged_decoders import PAGE, PAGED, stock
from lepton_testing.slot_decoders import (
    CONFIGS,
    Greedy,
    build,
    causal,
    expected,
    loaded,
    made,
    sequence,
    tokens,
)
from lepton_worker.backends.base import Progress, Span
from lepton_worker.backends.native.decoder import TextDecoder
from lepton_worker.backends.native.paged import choose
from lepton_worker.backends.native.paged.attention import PagedStep, Rows, gathered
from lepton_worker.backends.native.paged.choose import check, choose_paging
from lepton_worker.backends.native.paged.decoder import PagedDecoder, Paging
from lepton_worker.backends.native.paged.graphs import Graph, GraphedForward, Recorder
from lepton_worker.backends.native.paged.store import paged_store
from lepton_worker.errors import InvalidSetting

pytestmark = pytest.mark.component


@pytest.mark.parametrize("family", PAGED)
def test_parity_holds(family: str) -> None:
    module = build(PAGED[family]())
    before = module.config._attn_implementation
    assert check(loaded(module), Paging()) is None
    assert module.config._attn_implementation == before


def test_parity_notices_pages_that_are_mistaken_for_others() -> None:
    def astray(
        query: Any, keys: Any, values: Any, rows: Rows, scale: Any, window: Any, sums: Any
    ) -> Any:
        # As a kernel would that takes the first page of a table for the second one, too.
        rows.table[:, 1:2] = rows.table[:, :1]
        return gathered(query, keys, values, rows, scale, window, sums)

    assert check(loaded(build(PAGED["llama"]())), Paging(16)) is None
    found = check(loaded(build(PAGED["llama"]())), Paging(16, astray))
    assert "differ from its own" in str(found)


def test_slots_are_taken_on_a_cpu_and_where_they_are_asked_for() -> None:
    module = loaded(build(PAGED["llama"]()))
    assert choose_paging(module, "auto")[0] is None
    assert choose_paging(module, "slots") == (None, "slots: asked for")


def test_pages_are_taken_where_they_are_asked_for_and_serve() -> None:
    paging, reason = choose_paging(loaded(build(PAGED["llama"]())), "paged")
    assert paging == Paging()
    assert "same logits" in reason


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (CONFIGS["gemma2"](), "scores are capped"),
        (BloomConfig(vocab_size=120, hidden_size=32, n_layer=2, n_head=4), "no positions"),
    ],
)
def test_models_that_pages_do_not_serve_are_refused_or_left_to_slots(
    config: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = loaded(causal(config))
    with pytest.raises(InvalidSetting, match=reason):
        choose_paging(module, "paged")
    monkeypatch.setattr(choose, "_left_to_itself", lambda device: True)
    paging, found = choose_paging(module, "auto")
    assert paging is None
    assert found.startswith("slots: ")
    assert reason in found


def again(device: torch.device, calls: list[int] | None = None) -> Recorder:
    """Graphs that are replayed by computing the step again, into the same logits."""

    def record(compute: Callable[[], torch.Tensor]) -> Graph:
        logits = compute()

        def replay() -> None:
            logits.copy_(compute())
            if calls is not None:
                calls.append(len(logits))

        return Graph(replay, logits)

    return record


def graphed(family: str, slots: int, calls: list[int]) -> TextDecoder:
    """A decoder whose decode steps are replayed."""
    module = loaded(build(PAGED[family]()))
    store = paged_store(module, slots, 0, PAGE, gathered)
    forward = GraphedForward(module.module, store, None, slots)
    forward.capture(partial(again, calls=calls))
    assert forward.why_not is None
    assert store.held == 0
    calls.clear()
    return TextDecoder(forward, store, Greedy())


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt-oss", "gpt2"])
def test_decode_steps_from_buffers_are_steps_like_others(family: str) -> None:
    calls: list[int] = []
    ours = graphed(family, 5, calls)
    prompts = [tokens(count, seed=count) for count in (30, 4, 17, 1, PAGE)]
    texts = [sequence(prompt, 12) for prompt in prompts]
    for step in range(5):
        ours.begin(texts[step])
        spans = [Span(text, 1) for text in texts[:step]]
        ours.step([*spans, Span(texts[step], len(prompts[step]))])
    while going := [text for text in texts if len(made(text)) < 12]:
        for result in ours.step([Span(text, 1) for text in going]):
            assert isinstance(result, Progress)
    # All five, and as the first ones end fewer of them, in the next larger size.
    assert set(calls) == {1, 2, 4, 5}
    for text, prompt in zip(texts, prompts, strict=True):
        assert made(text) == expected(stock(family), prompt, 12)


def test_only_next_tokens_by_the_models_own_weights_are_replayed() -> None:
    calls: list[int] = []
    ours = graphed("llama", 3, calls)
    plain, adapted = sequence(tokens(9, seed=1), 4), sequence(tokens(9, seed=2), 4, "x")
    for text in (plain, adapted):
        ours.begin(text)
    ours.step([Span(plain, 9), Span(adapted, 8)])
    ours.step([Span(plain, 1), Span(adapted, 1)])
    assert calls == []
    ours.step([Span(plain, 1)])
    assert calls == [1]
    assert made(plain) == expected(stock("llama"), tokens(9, seed=1), 3)


def test_without_a_graph_that_agrees_every_step_is_computed() -> None:
    module = loaded(build(PAGED["llama"]()))
    store = paged_store(module, 2, 0, PAGE, gathered)
    forward = GraphedForward(module.module, store, None, 2)

    def stale(compute: Callable[[], torch.Tensor]) -> Graph:
        return Graph(lambda: None, compute())

    def failing(compute: Callable[[], torch.Tensor]) -> Graph:
        raise RuntimeError("operation not permitted")

    forward.capture(lambda device: stale)
    assert "logits of a graph differ" in str(forward.why_not)
    forward.capture(lambda device: failing)
    assert "operation not permitted" in str(forward.why_not)
    text = sequence(tokens(9, seed=1), 4)
    ours = TextDecoder(forward, store, Greedy())
    ours.begin(text)
    for count in (9, 1, 1, 1):
        ours.step([Span(text, count)])
    assert made(text) == expected(stock("llama"), tokens(9, seed=1), 4)


def test_graphs_are_for_cuda_and_the_decoder_says_so() -> None:
    for graphs, said in ((True, "none: for CUDA alone"), (False, "none: not asked for")):
        module = loaded(build(PAGED["llama"]()))
        assert PagedDecoder(module, 2, 0, Greedy(), Paging(), graphs=graphs).graphs == said


def test_state_is_written_where_the_pages_are() -> None:
    store = paged_store(loaded(build(PAGED["llama"]())), 2, 0, PAGE, gathered)
    text = store.begin("a", tokens(20, seed=1), "", 0)
    store.grow(text, 20)
    index = torch.tensor(store.rows(text, 6, 11))
    step = PagedStep(store.keys, store.values, index, [], gathered)
    states = torch.arange(5.0)[None, None, :, None].expand(1, 2, 5, 8)
    step.write(1, states + 1, -states - 1)
    first, second = text.pages[:2]
    assert store.keys[1][first, 6:, 0, 0].tolist() == [1, 2]
    assert store.keys[1][second, :3, 1, 7].tolist() == [3, 4, 5]
    assert store.values[1].sum() == -15 * 2 * 8
    assert store.keys[0].abs().sum() == 0
    store.clear(text, 7, 9)
    assert store.keys[1].sum() == (1 + 4 + 5) * 2 * 8
