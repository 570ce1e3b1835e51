"""Adapters whose files are broken, of another kind, or for another base."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lepton_worker.backends.linears.lora import Adapters
from lepton_worker.backends.linears.peft_files import CONFIG, WEIGHTS
from lepton_worker.errors import (
    LoadError,
    SourceNotFound,
    TaskNotSupported,
    WeightsCorrupt,
    WeightsMissing,
)

pytestmark = pytest.mark.component

Make = Callable[..., Any]


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


Q_A = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda t: t.pop(Q_A), WeightsMissing, "lacks lora_A of model.layers.0"),
        (
            lambda t: [t.pop(key) for key in list(t) if "layers.1.mlp.up_proj" in key],
            WeightsMissing,
            "layers.1.mlp.up_proj",
        ),
        (lambda t: t.update({Q_A: torch.ones(4, 96)}), WeightsCorrupt, r"\[4, 96\].*\[4, 48\]"),
        (lambda t: t.update({Q_A: torch.ones(5, 48)}), WeightsCorrupt, r"\[5, 48\].*\[4, 48\]"),
        (lambda t: t.update({Q_A: t[Q_A] / 0}), WeightsCorrupt, "finite"),
        (
            lambda t: t.update({Q_A.replace("layers.0", "layers.9"): t[Q_A].clone()}),
            WeightsCorrupt,
            "layers.9.self_attn.q_proj, and the base model has no such",
        ),
        (
            lambda t: t.update(
                {Q_A.replace("lora_A.weight", "lora_magnitude_vector"): torch.ones(48)}
            ),
            TaskNotSupported,
            "lora_magnitude_vector",
        ),
        (
            lambda t: t.update({"base_model.model.model.embed_tokens.weight": torch.ones(2, 2)}),
            TaskNotSupported,
            "embed_tokens.weight",
        ),
        (
            lambda t: t.update({"base_model.model.model.embed_tokens.weight": torch.ones(120, 48)}),
            TaskNotSupported,
            "embed_tokens.weight",
        ),
    ],
)
def test_broken_files_are_named_and_change_nothing(
    tiny: Make, save: Any, change: Any, kind: type[LoadError], words: str
) -> None:
    folder, _ = save("llama")
    rewrite(folder, change)
    module = tiny("llama")
    adapters = Adapters(module)
    with pytest.raises(kind, match=words) as raised:
        adapters.load("one", folder, "")
    assert WEIGHTS in raised.value.message
    assert adapters.names == ()
    assert not any(item._forward_hooks for item in module.modules())


def test_missing_and_cut_files_are_named(tiny: Make, save: Any, tmp_path: Path) -> None:
    adapters = Adapters(tiny("llama"))
    with pytest.raises(SourceNotFound, match="nowhere"):
        adapters.load("one", tmp_path / "nowhere", "")
    folder, _ = save("llama")
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsCorrupt, match=WEIGHTS):
        adapters.load("one", folder, "")
    (folder / WEIGHTS).unlink()
    (folder / "adapter_model.bin").touch()
    with pytest.raises(WeightsMissing, match="never loaded"):
        adapters.load("one", folder, "")
    (folder / CONFIG).unlink()
    with pytest.raises(WeightsMissing, match=CONFIG):
        adapters.load("one", folder, "")


def test_base_of_another_size_is_refused(tiny: Make, save: Any) -> None:
    folder, _ = save("llama")
    module = tiny("llama", head_dim=16)
    with pytest.raises(WeightsCorrupt, match="load it on the model that it was trained for"):
        Adapters(module).load("one", folder, "")


@pytest.mark.parametrize("fields", [{"use_dora": True}, {"bias": "lora_only"}])
def test_other_methods_of_peft_are_refused(tiny: Make, save: Any, fields: Any) -> None:
    folder, _ = save("llama", **fields)
    with pytest.raises(TaskNotSupported, match=next(iter(fields))):
        Adapters(tiny("llama")).load("one", folder, "")
