"""Kernels put into real models: which layers, how much memory, what the gate lets pass."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lepton_worker.backends.linears import choose, install, replace
from lepton_worker.backends.linears.choose import Kind
from lepton_worker.backends.linears.gate import Drift, drift, outputs
from lepton_worker.backends.linears.install import heads, install_linears, narrowing
from lepton_worker.backends.linears.kernels import LinearKernel
from lepton_worker.backends.linears.replace import held_bytes, linears, replace_linears, why_not
from lepton_worker.errors import InvalidSetting
from lepton_worker.request import Task

pytestmark = pytest.mark.component

Make = Callable[..., Any]
FAMILIES = ["llama", "bert", "bert-classifier", "gpt2"]
MOVED = {"float16": 2e-3, "int8": 0.15, "bfloat16": 5e-2}


@pytest.fixture(autouse=True)
def _can_run_all() -> None:
    for kind in ("float16", "int8", "bfloat16"):
        if why_not(kind):
            pytest.skip(why_not(kind))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["float16", "int8", "bfloat16"])
def test_whole_models_answer_nearly_the_same(tiny: Make, family: str, kind: Kind) -> None:
    module = tiny(family)
    before = outputs(module)
    count = len(list(linears(module)))
    replaced = replace_linears(module, kind)
    assert replaced.count == count > 0
    assert not list(linears(module))
    moved = drift(before, outputs(module))
    assert 0 < moved.error < MOVED[kind]
    assert replaced.bytes_after < replaced.bytes_before


@pytest.mark.parametrize(("kind", "share"), [("float16", 2), ("bfloat16", 2), ("int8", 4)])
def test_weights_take_a_half_or_a_quarter(kind: Kind, share: int) -> None:
    module = nn.Sequential(*[nn.Linear(256, 256, bias=False) for _ in range(3)])
    replaced = replace_linears(module, kind)
    assert replaced.bytes_before == 3 * 256 * 256 * 4
    scales = 3 * 256 * 4 if kind == "int8" else 0
    assert replaced.bytes_after == replaced.bytes_before // share + scales


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "int8"])
def test_the_process_gives_the_memory_back(kind: Kind) -> None:
    module = nn.Sequential(*[nn.Linear(2048, 1024, bias=False) for _ in range(8)])
    replace_linears(nn.Sequential(nn.Linear(2048, 1024)), kind)
    before = resident()
    replaced = replace_linears(module, kind)
    promised = replaced.bytes_before - replaced.bytes_after
    assert before - resident() > 0.7 * promised


def test_none_leaves_everything(tiny: Make) -> None:
    module = tiny("llama")
    held = held_bytes(module)
    assert replace_linears(module, "none") == replace.Replaced(0, held, held)
    assert not any(isinstance(item, LinearKernel) for item in module.modules())


def test_skipped_layers_stay(tiny: Make) -> None:
    module = tiny("llama")
    replace_linears(module, "float16", ["lm_head", "mlp.down_proj"])
    left = {name for name, _ in linears(module)}
    assert left == {"lm_head", *(f"model.layers.{i}.mlp.down_proj" for i in range(2))}


def test_shared_weights_count_once_and_stay_with_the_embedding(tiny: Make) -> None:
    module = tiny("llama", tie_word_embeddings=True)
    table = module.get_input_embeddings().weight
    separate = sum(item.numel() * 4 for item in module.parameters())
    assert held_bytes(module) >= separate
    before = held_bytes(module)
    replaced = replace_linears(module, "float16")
    assert replaced.bytes_before == before
    assert module.get_input_embeddings().weight is table
    assert isinstance(module.lm_head, LinearKernel)


def test_a_layer_used_twice_stays_one_layer() -> None:
    shared = nn.Linear(32, 32)
    module = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared), "c": shared})
    assert replace_linears(module, "float16").count == 1
    inner = module["b"]
    assert isinstance(inner, nn.Sequential)
    assert isinstance(module["a"], LinearKernel)
    assert module["a"] is inner[0] is module["c"]


def test_kind_that_the_machine_lacks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replace, "best_route", lambda: "no int8 here")
    module = nn.Sequential(nn.Linear(8, 8))
    with pytest.raises(InvalidSetting, match="no int8 here"):
        replace_linears(module, "int8")
    assert isinstance(module[0], nn.Linear)


@pytest.mark.parametrize(
    ("family", "found"),
    [("llama", ["lm_head"]), ("gpt2", ["lm_head"]), ("bert-classifier", ["classifier"])],
)
def test_heads_are_found(tiny: Make, family: str, found: list[str]) -> None:
    assert heads(tiny(family)) == found


def test_down_projections_are_found(tiny: Make) -> None:
    module = tiny("llama")
    assert narrowing(module, heads(module)) == [f"model.layers.{i}.mlp.down_proj" for i in range(2)]
    module = tiny("gpt2")
    assert narrowing(module, heads(module)) == [f"transformer.h.{i}.mlp.c_proj" for i in range(2)]


def kinds_of(module: nn.Module) -> dict[str, str]:
    return {
        name.rpartition(".")[2]: item.kind
        for name, item in module.named_modules()
        if isinstance(item, LinearKernel)
    }


def test_int8_is_measured(tiny: Make) -> None:
    module = tiny("llama")
    done = install_linears(module, "int8", Task.GENERATE, "float32")
    assert done.kind == "int8"
    assert done.drift is not None
    assert 0 < done.drift.error < 0.1
    assert str(done.drift) in done.reason
    assert "times as fast as float32 with 4 rows" in done.reason
    assert "the head of the vocabulary in int8 included" in done.reason
    assert set(kinds_of(module).values()) == {"int8"}
    assert done.replaced.count == 15


def test_int8_spares_a_head_that_moves_the_outputs_too_far(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([Drift(0.05, 0.99), Drift(0.2, 0.9)])
    monkeypatch.setattr(install, "drift", lambda *_: next(found))
    monkeypatch.setattr(install, "time_kinds", lambda _: {})
    module = tiny("llama")
    done = install_linears(module, "int8", Task.GENERATE, "float32")
    kinds = kinds_of(module)
    assert kinds.pop("lm_head") == "float16"
    assert set(kinds.values()) == {"int8"}
    assert done.drift == Drift(0.05, 0.99)
    assert done.replaced.count == 15
    assert done.replaced.bytes_after == held_bytes(module)


def test_int4_takes_all_but_the_head_and_tells_how_far_outputs_moved(tiny: Make) -> None:
    module = tiny("llama", hidden_size=64)
    before = held_bytes(module)
    done = install_linears(module, "int4", Task.GENERATE, "float32")
    if done.kind == "none":
        pytest.skip(done.reason)
    kinds = kinds_of(module)
    assert kinds.pop("lm_head") in ("int8", "float16")
    assert set(kinds.values()) == {"int4"}
    assert done.drift is not None
    assert 0.01 < done.drift.error < 0.6
    assert str(done.drift) in done.reason
    assert done.replaced.bytes_after < before / 2


def test_int4_leaves_layers_of_other_sizes_to_float16(tiny: Make) -> None:
    module = tiny("llama", hidden_size=48)
    done = install_linears(module, "int4", Task.GENERATE, "float32")
    if done.kind == "none":
        pytest.skip(done.reason)
    kinds = kinds_of(module)
    assert kinds["down_proj"] == "int4", "96 inputs, 48 outputs"
    assert kinds["up_proj"] == "float16", "48 inputs are not whole groups"


def test_int8_leaves_down_projections_where_outputs_moved_too_far(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([Drift(0.4, 0.9), Drift(0.05, 0.99), Drift(0.06, 0.99)])
    monkeypatch.setattr(install, "drift", lambda *_: next(found))
    monkeypatch.setattr(install, "time_kinds", lambda _: {})
    module = tiny("llama")
    done = install_linears(module, "int8", Task.GENERATE, "float32")
    assert kinds_of(module)["down_proj"] == "float16"
    assert kinds_of(module)["up_proj"] == "int8"
    assert "differed by 40.0 %, so those are float16" in done.reason
    assert done.drift == Drift(0.06, 0.99)
    assert done.replaced.bytes_after == held_bytes(module)


@pytest.mark.parametrize(
    ("family", "task", "asked", "kind"),
    [
        ("llama", Task.GENERATE, "auto", "none"),
        ("bert", Task.EMBED, "auto", "none"),
        ("bert-classifier", Task.CLASSIFY, "int8", "int8"),
        ("gpt2", Task.GENERATE, "float16", "float16"),
        ("gpt2", Task.GENERATE, "none", "none"),
    ],
)
def test_what_was_asked_is_installed(
    tiny: Make, family: str, task: Task, asked: Any, kind: Kind
) -> None:
    module = tiny(family)
    before = outputs(module)
    done = install_linears(module, asked, task, "float32")
    assert done.kind == kind
    assert done.reason
    moved = drift(before, outputs(module))
    assert (moved.error == 0) is (kind == "none")


def test_auto_takes_float16_for_a_large_decoder(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = dict.fromkeys((1, 4, 16), 3.0)
    timings = {"float32": rows, "float16": dict.fromkeys(rows, 1.0)}
    monkeypatch.setattr(install, "time_kinds", lambda kinds: timings if "float16" in kinds else {})
    monkeypatch.setattr("lepton_worker.backends.linears.choose.AUTO_FROM", 1)
    done = install_linears(tiny("gpt2"), "auto", Task.GENERATE, "bfloat16")
    assert done.kind == "float16"
    assert done.reason.startswith("float16 weights: 3.0 times as fast as float32 with 4 rows")


def test_not_a_number_does_not_pass_the_gate() -> None:
    good = [torch.ones(3)]
    assert drift(good, good).passes
    assert not drift(good, [torch.full((3,), float("nan"))]).passes
    assert not drift(good, [torch.tensor([1.0, 1.0, 1.5])]).passes


def test_kernels_that_were_timed_before_are_not_timed_again(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "AUTO_FROM", 0)
    first = install_linears(tiny("llama"), "auto", Task.GENERATE, "float32")
    assert {"float32", "float16"} <= set(first.timings)
    monkeypatch.setattr(install, "time_kinds", None)
    second = install_linears(tiny("llama"), "auto", Task.GENERATE, "float32", timings=first.timings)
    assert (second.kind, second.reason) == (first.kind, first.reason)
    # What decides is the timings that are handed over.
    slow = {kind: dict.fromkeys((1, 4, 16), 1.0) for kind in first.timings}
    third = install_linears(tiny("llama"), "auto", Task.GENERATE, "float32", timings=slow)
    assert third.kind == "none"
