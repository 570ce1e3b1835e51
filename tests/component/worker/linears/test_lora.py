"""Adapters against PEFT itself, mixed in a batch, and through many changes."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lepton_worker.backends.linears.lora import Adapters, grouped
from lepton_worker.backends.linears.peft_files import CONFIG, WEIGHTS
from lepton_worker.backends.linears.replace import replace_linears, why_not
from lepton_worker.errors import AdapterNotFound

pytestmark = pytest.mark.component

Make = Callable[..., Any]
IDS = torch.arange(1, 13)[None]


def answer(module: Any, ids: torch.Tensor = IDS) -> torch.Tensor:
    with torch.inference_mode():
        found = module(input_ids=ids)
    result: torch.Tensor = found.logits if "logits" in found else found.last_hidden_state
    return result


def with_adapter(module: Any, folder: Path) -> torch.Tensor:
    adapters = Adapters(module)
    adapters.load("one", folder, "files")
    adapters.begin_segments([("one", IDS.shape[1])])
    return answer(module)


def near(found: torch.Tensor, exact: torch.Tensor, bound: float = 1e-5) -> bool:
    return float((found - exact).norm() / exact.norm()) < bound


@pytest.mark.parametrize("family", ["llama", "bert", "gpt2"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"use_rslora": True},
        {"rank_pattern": {r"layers\.1\..*": 2, "query": 3}, "alpha_pattern": {"c_attn": 9}},
        {"target_modules": "all-linear"},
        {"target_modules": r".*(layers|layer|h)\.1\..*(v_proj|value|c_fc)"},
    ],
    ids=["plain", "rslora", "patterns", "all-linear", "regex"],
)
def test_answers_are_pefts(tiny: Make, save: Any, family: str, fields: dict[str, Any]) -> None:
    folder, exact = save(family, **fields)
    module = tiny(family)
    assert not near(answer(module), exact, 1e-2)
    assert near(with_adapter(module, folder), exact)


@pytest.mark.parametrize("pruned", [False, True])
def test_adalora_is_pefts(tiny: Make, save: Any, pruned: bool, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    folder, exact = save("llama", config="AdaLoraConfig", init_r=6, total_step=10)
    if pruned:
        fields = json.loads((folder / CONFIG).read_text())
        tensors = load_file(folder / WEIGHTS)
        kept = [True, False, True, True, False, False]
        names = [key.removesuffix(".lora_A") for key in tensors if key.endswith(".lora_A")]
        # PEFT names the layers of its rank pattern without the class around them.
        fields["rank_pattern"] = {
            f"{name.removeprefix('base_model.model.')}.lora_E": kept for name in names
        }
        for name in names:
            tensors[f"{name}.lora_A"] = tensors[f"{name}.lora_A"][kept]
            tensors[f"{name}.lora_E"] = tensors[f"{name}.lora_E"][kept]
            tensors[f"{name}.lora_B"] = tensors[f"{name}.lora_B"][:, kept].contiguous()
        (folder / CONFIG).write_text(json.dumps(fields))
        save_file(tensors, folder / WEIGHTS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exact = answer(peft.PeftModel.from_pretrained(tiny("llama"), folder).eval())
    assert not near(answer(tiny("llama")), exact, 1e-2)
    assert near(with_adapter(tiny("llama"), folder), exact)


def test_head_of_a_classifier_is_replaced_for_its_rows(tiny: Make, save: Any) -> None:
    folder, exact = save("bert-classifier", task_type="SEQ_CLS")
    module = tiny("bert-classifier")
    before = answer(module)
    assert near(with_adapter(module, folder), exact)
    adapters = Adapters(tiny("bert-classifier"))
    adapters.load("one", folder, "")
    adapters.begin_segments([("", 12)])
    assert torch.equal(answer(tiny("bert-classifier")), before)


def test_adapter_of_the_head_class_fits_the_bare_model(tiny: Make, save: Any) -> None:
    folder, exact = save("bert")

    tensors = load_file(folder / WEIGHTS).items()
    renamed = {key.replace("model.encoder", "model.bert.encoder"): item for key, item in tensors}
    save_file(renamed, folder / WEIGHTS)
    assert near(with_adapter(tiny("bert"), folder), exact)


def by_hand(x: torch.Tensor, folder: Path, layer: str, scale: float) -> torch.Tensor:
    tensors = load_file(folder / WEIGHTS)
    a = tensors[f"base_model.model.{layer}.lora_A.weight"]
    b = tensors[f"base_model.model.{layer}.lora_B.weight"]
    return scale * (x @ a.T @ b.T)


SEGMENTS = [("one", 3), ("", 2), ("two", 4), ("one", 1), ("", 1), ("one", 2)]


@pytest.mark.parametrize("kind", ["none", "float16", "int8"])
@pytest.mark.parametrize("shape", [(13, 48), (1, 13, 48)])
def test_rows_get_the_terms_of_their_adapter(
    tiny: Make, save: Any, kind: Any, shape: tuple[int, ...]
) -> None:
    if why_not(kind):
        pytest.skip(why_not(kind))
    one, _ = save("llama", "one", seed=1)
    two, _ = save("llama", "two", seed=2, r=2)
    module = tiny("llama")
    replace_linears(module, kind)
    layer = "model.layers.0.self_attn.q_proj"
    linear = module.get_submodule(layer)
    x = torch.randn(shape)
    with torch.inference_mode():
        base = linear(x)
        adapters = Adapters(module)
        adapters.load("one", one, "")
        adapters.load("two", two, "")
        adapters.begin_segments(SEGMENTS)
        found = linear(x)
    assert found.shape == base.shape
    whose = [name for name, count in SEGMENTS for _ in range(count)]
    rows, bases, inputs = found.view(13, -1), base.view(13, -1), x.view(13, -1)
    for index, name in enumerate(whose):
        if not name:
            assert torch.equal(rows[index], bases[index])
            continue
        folder, scale = (one, 6 / 4) if name == "one" else (two, 6 / 2)
        exact = bases[index] + by_hand(inputs[index], folder, layer, scale)
        assert near(rows[index], exact)
        assert not near(bases[index], exact, 1e-2)


def test_a_mixed_batch_equals_each_text_alone(tiny: Make, save: Any) -> None:
    one, _ = save("llama", "one", seed=1)
    two, _ = save("llama", "two", seed=2)
    module = tiny("llama")
    texts = torch.arange(1, 31).view(5, 6)
    whose = ["one", "", "two", "one", ""]
    without = answer(module, texts)
    adapters = Adapters(module)
    adapters.load("one", one, "")
    adapters.load("two", two, "")
    adapters.begin_segments([(name, 6) for name in whose])
    mixed = answer(module, texts)
    for index, name in enumerate(whose):
        adapters.begin_segments([(name, 6)])
        alone = answer(module, texts[index : index + 1])[0]
        assert near(mixed[index], alone)
        assert torch.equal(mixed[index], without[index]) is (not name)


def test_unloaded_adapter_is_unknown_and_the_base_is_back(tiny: Make, save: Any) -> None:
    folder, _ = save("llama")
    module = tiny("llama")
    before = answer(module)
    adapters = Adapters(module)
    facts = adapters.load("one", folder, "hub:one")
    tensors = load_file(folder / WEIGHTS).values()
    assert (facts.name, facts.source, facts.rank) == ("one", "hub:one", 4)
    assert facts.bytes == sum(item.numel() * 4 for item in tensors)
    adapters.begin_segments([("one", 12)])
    adapters.unload("one")
    assert torch.equal(answer(module), before)
    with pytest.raises(AdapterNotFound, match="one"):
        adapters.begin_segments([("", 3), ("one", 9)])
    adapters.unload("never")
    assert adapters.names == ()


def test_a_name_can_be_loaded_again_with_other_files(tiny: Make, save: Any) -> None:
    one, _ = save("llama", "one", seed=1)
    two, exact = save("llama", "two", seed=2, target_modules=["q_proj"])
    module = tiny("llama")
    adapters = Adapters(module)
    adapters.load("mine", one, "")
    adapters.load("mine", two, "")
    assert adapters.names == ("mine",)
    adapters.begin_segments([("mine", 12)])
    assert near(answer(module), exact)


def test_many_changes_leave_nothing_behind(tiny: Make, save: Any) -> None:
    folder, exact = save("llama")
    module = tiny("llama")
    parameters = [name for name, _ in module.named_parameters()]
    modules = [name for name, _ in module.named_modules()]
    adapters = Adapters(module)
    for _ in range(100):
        adapters.load("one", folder, "")
        adapters.unload("one")
    assert [name for name, _ in module.named_parameters()] == parameters
    assert [name for name, _ in module.named_modules()] == modules
    assert not any(item._forward_hooks for item in module.modules())
    adapters.load("one", folder, "")
    adapters.begin_segments([("one", 12)])
    assert near(answer(module), exact)
    assert all(len(item._forward_hooks) <= 1 for item in module.modules())


def test_batch_of_another_size_than_told_is_an_error(tiny: Make, save: Any) -> None:
    folder, _ = save("llama")
    module = tiny("llama")
    adapters = Adapters(module)
    adapters.load("one", folder, "")
    adapters.begin_segments([("one", 5), ("", 2), ("", 3)])
    with pytest.raises(RuntimeError, match=r"q_proj got 12 rows.*told of 10"):
        answer(module)


@pytest.mark.parametrize("kept", [[2, 11], [5, 6, 7], [0]])
def test_a_head_on_chosen_rows_gets_theirs(tiny: Make, save: Any, kept: list[int]) -> None:
    one, _ = save("llama", "one", seed=1, target_modules=["q_proj", "lm_head"])
    two, _ = save("llama", "two", seed=2, target_modules=["lm_head"])
    module = tiny("llama")
    adapters = Adapters(module)
    adapters.load("one", one, "")
    adapters.load("two", two, "")
    segments = [("one", 3), ("", 3), ("two", 6)]
    adapters.begin_segments(segments)
    whole = answer(module)[0]
    adapters.begin_segments(segments, kept)
    with torch.inference_mode():
        chosen = module(input_ids=IDS, logits_to_keep=torch.tensor(kept)).logits[0]
    assert near(chosen, whole[kept])
    assert not near(whole[[0]], answer(tiny("llama"))[0, [0]], 1e-2)


@pytest.mark.parametrize(
    ("segments", "rows"),
    [
        ([("a", 2), ("a", 3), ("", 1)], {"a": slice(0, 5)}),
        ([("", 1), ("a", 2), ("b", 0), ("a", 1)], {"a": slice(1, 4)}),
        ([("a", 1), ("b", 1), ("a", 2)], {"a": [0, 2, 3], "b": slice(1, 2)}),
        ([], {}),
    ],
)
def test_rows_are_grouped(segments: Any, rows: dict[str, Any]) -> None:
    found = dict(grouped(segments, torch.device("cpu")))
    plain = {
        name: item.tolist() if isinstance(item, torch.Tensor) else item
        for name, item in found.items()
    }
    assert plain == rows
