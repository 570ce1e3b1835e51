"""Decode steps replayed from CUDA graphs: recorded, right, and the same as without."""

import copy
import time
from typing import Any

import torch

from lepton_testing.gpu import REGRET, decoder, kernels, llama, regret, run, texts
from lepton_worker.backends.native.paged.graphs import GraphedForward
from lepton_worker.backends.native.paged.store import paged_store


def test_graphs_are_recorded_and_agree() -> None:
    for paging in kernels():
        found = decoder(llama(), paging, graphs=True).graphs
        assert found == "decode steps of up to 6 texts", f"{paging.name}: {found}"


def test_texts_by_replays_are_those_of_steps_without() -> None:
    for paging in kernels():
        model = llama()
        own = copy.deepcopy(model.module)
        plain, replayed = texts(40), texts(40)
        run(decoder(llama(), paging), plain)
        run(decoder(model, paging, graphs=True), replayed)
        same = sum(one.ids == other.ids for one, other in zip(plain, replayed, strict=True))
        print(f"{paging.name}: {same} of {len(plain)} texts are token by token the same")  # noqa: T201
        for text in replayed:
            assert regret(own, text) <= REGRET, paging.name


def test_graphs_for_many_sizes_of_batches() -> None:
    for paging in kernels():
        model = llama()
        store = paged_store(model, 20, 20 * 400, paging.page, paging.kernel)
        forward = GraphedForward(model.module, store, None, 20)
        forward.capture()
        assert forward.why_not is None, f"{paging.name}: {forward.why_not}"
        assert store.held == 0


def test_a_module_that_waits_for_the_device_goes_without_graphs() -> None:
    paging = next(kernels())
    model = llama()
    inner: Any = model.module.model
    plain = inner.forward

    def waiting(*given: Any, **named: Any) -> Any:
        found = plain(*given, **named)
        assert float(found.last_hidden_state.abs().max().item()) >= 0
        return found

    inner.forward = waiting
    ours = decoder(model, paging, graphs=True)
    assert ours.graphs.startswith("none: ")
    torch.cuda.synchronize()
    wanted = texts(5)
    run(ours, wanted)
    inner.forward = plain
    ours.close()
    for text in wanted:
        assert regret(model.module, text) <= REGRET


def test_the_time_of_a_step_is_told() -> None:
    for paging in kernels():
        for graphs in (False, True):
            ours = decoder(llama(), paging, graphs=graphs)
            run(ours, texts(10))
            torch.cuda.synchronize()
            begun = time.perf_counter()
            run(ours, texts(100))
            seconds = time.perf_counter() - begun
            print(f"{paging.name}, graphs {graphs}: {seconds:.2f} s for 600 tokens")  # noqa: T201
