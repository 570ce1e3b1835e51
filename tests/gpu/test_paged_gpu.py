"""Pages on a GPU: kernels against attention spelled out, texts against the module's own forward."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel

from lepton_testing.gpu import CUDA, REGRET, decoder, kernels, llama, regret, run, texts
from lepton_testing.programs import triton_pages
from lepton_testing.slot_decoders import sequence, tokens
from lepton_worker.backends.base import LoadOrder, Progress, Span
from lepton_worker.backends.native.encoder import PackedEncoder
from lepton_worker.backends.native.paged.attention import Rows, gathered
from lepton_worker.backends.native.paged.choose import check, choose_paging, memory_of
from lepton_worker.backends.native.paged.layout import Query, layout
from lepton_worker.backends.native.parity import choose_encoder
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.model import Pooling
from lepton_worker.request import Task


def test_some_kernel_is_there() -> None:
    assert list(kernels())


def test_the_triton_kernel_in_float32() -> None:
    triton_pages.main("cuda")


def test_kernels_are_attention_over_pages() -> None:
    torch.manual_seed(0)
    for paging in kernels():
        page, failures = paging.page, []
        for count in (1, 100):
            for window in (None, 70):
                keys, values = torch.randn(2, 60, page, 2, 64, device=CUDA, dtype=torch.bfloat16)
                pages = torch.randperm(59).add(1).tolist()
                lengths = [count, max(count, page - 1), page + count, 3 * page + 5]
                queries = [
                    Query(count, length, pages[14 * text :][: -(-length // page)])
                    for text, length in enumerate(lengths)
                ]
                rows = Rows.of(layout(queries, 0), 0, CUDA)
                asked = torch.randn(4 * count, 8, 64, device=CUDA, dtype=torch.bfloat16)
                arguments = (rows, 0.125, window, True)
                theirs, expected = gathered(asked.float(), keys.float(), values.float(), *arguments)
                try:
                    ours, sums = paging.kernel(asked, keys, values, *arguments)
                    assert sums is not None
                    torch.testing.assert_close(ours.float(), theirs, atol=2e-2, rtol=2e-2)
                    torch.testing.assert_close(sums.float(), expected, atol=2e-2, rtol=2e-2)
                except (AssertionError, RuntimeError) as error:
                    failures.append(f"{count} rows, window {window}: {error}")
        assert not failures, f"{paging.name}: " + "\n".join(failures)


def test_logits_are_those_of_the_module() -> None:
    for paging in kernels():
        for dtype in (torch.bfloat16, torch.float16):
            found = check(llama(dtype), paging)
            assert found is None, f"{paging.name}, {dtype}: {found}"


def test_left_to_itself_cuda_takes_pages_and_says_which() -> None:
    paging, said = choose_paging(llama(), "auto")
    print(said)  # noqa: T201
    assert paging is not None, said


def test_texts_join_end_and_are_begun_again() -> None:
    for paging in kernels():
        model = llama()
        own = copy.deepcopy(model.module)
        ours = decoder(model, paging)
        wanted = texts(30)
        run(ours, wanted)
        for text in wanted:
            assert regret(own, text) <= REGRET, paging.name
        again = sequence([*wanted[-1].ids, 5], 10)
        assert ours.begin(again) >= len(wanted[-1].prompt)
        ours.evict(again)
        run(ours, [again])
        assert regret(own, again) <= REGRET, paging.name


def test_answers_to_one_prompt_share_its_pages() -> None:
    for paging in kernels():
        model = llama()
        own = copy.deepcopy(model.module)
        ours, prompt = decoder(model, paging), tokens(600, seed=1)
        first = sequence(prompt, 20)
        ours.begin(first)
        ours.step([Span(first, 600)])
        held = ours.held_tokens
        others = [sequence(prompt, 20) for _ in range(4)]
        assert [ours.begin(text) for text in others] == [599] * 4
        assert ours.held_tokens == held + 4 * paging.page
        for _ in range(19):
            for result in ours.step([Span(text, 1) for text in (first, *others)]):
                assert isinstance(result, Progress)
        for text in (first, *others):
            assert regret(own, text) <= REGRET, paging.name


def test_a_spoilt_text_leaves_nothing_in_its_pages() -> None:
    for paging in kernels():
        model = llama()
        own = copy.deepcopy(model.module)
        with torch.no_grad():
            model.module.get_input_embeddings().weight[7] = torch.inf
        ours = decoder(model, paging, slots=1)
        bad = sequence([7] * 300, 2)
        ours.begin(bad)
        assert not isinstance(ours.step([Span(bad, 300)])[0], Progress)
        ours.release(bad)
        fine = sequence([token for token in tokens(320, seed=2) if token != 7], 4)
        run(ours, [fine])
        assert regret(own, fine) <= REGRET, paging.name


def test_memory_is_the_devices() -> None:
    limit, held = memory_of(CUDA, 1, 1)
    assert limit == torch.cuda.get_device_properties(0).total_memory
    assert 0 < held < limit


def test_encoders_run_over_packed_rows() -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=120,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=128,
    )
    for dtype in (torch.bfloat16, torch.float16):
        module: Any = BertModel(copy.deepcopy(config))
        module = module.to(CUDA, dtype)
        module.eval()
        facts = dataclasses.replace(llama().facts, task=Task.EMBED, max_length=128)
        order = LoadOrder(Path(), Task.EMBED)
        encoder, said = choose_encoder(Loaded(module, facts, 0), Pooling(), order)
        print(f"{type(encoder).__name__}: {said}")  # noqa: T201
        assert isinstance(encoder, PackedEncoder), said
