"""From an adapter's folder to what it adds to the layers of a base model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from lepton_worker.backends.linears.kernels import LinearKernel, features, tensor_bytes
from lepton_worker.backends.linears.peft_files import (
    WEIGHTS,
    AdapterConfig,
    locate,
    read_config,
    sort_names,
    targeted,
)
from lepton_worker.errors import TaskNotSupported, WeightsCorrupt, WeightsMissing
from lepton_worker.source.weights import read_header


@dataclass(frozen=True)
class LowRank:
    """y += (x A^T) B^T with A [rank, in] and B [out, rank], the scale within B."""

    a: torch.Tensor
    b: torch.Tensor

    @property
    def bytes(self) -> int:
        """What it holds, in bytes."""
        return tensor_bytes(self.a, self.b)


@dataclass(frozen=True)
class Whole:
    """y = x W^T + b instead of what the base computes, with W [out, in]."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    @property
    def bytes(self) -> int:
        """What it holds, in bytes."""
        return tensor_bytes(self.weight, self.bias)


Term: TypeAlias = LowRank | Whole


class Reader:
    """Reads one adapter for one base; `layers` are the base's linear layers by name."""

    def __init__(self, folder: Path, module: Any, layers: Mapping[str, Any]) -> None:
        self.folder = folder
        self.module = module
        self.layers = layers
        self.prefix = str(module.base_model_prefix)
        self.config: AdapterConfig = read_config(folder)
        self.tensors = _read(folder)

    def terms(self) -> dict[str, Term]:
        """What the adapter does to each layer of the base, by its name there; raises LoadError."""
        names = sort_names(self.tensors)
        terms: dict[str, Term] = {}
        for trained, keys in names.factors.items():
            name = self._located(trained)
            terms[name] = self._low_rank(name, keys)
        for trained, keys in names.whole.items():
            if not self._is_copy(trained, keys):
                name = self._located_head(trained, keys)
                terms[name] = self._whole(name, keys)
        lacking = sorted(targeted(self.config, self.layers) - terms.keys())
        if lacking or not terms:
            what = lacking[0] if lacking else "any layer"
            raise WeightsMissing(
                f"{self.folder / WEIGHTS} has nothing for {what}, which target_modules names; "
                "save the adapter again"
            )
        return terms

    def _located(self, trained: str) -> str:
        name = locate(trained, self.layers, self.prefix)
        if name is None:
            raise WeightsCorrupt(
                f"{self.folder / WEIGHTS} is for {trained}, and the base model has no such linear "
                f"layer: {self._other_base()}"
            )
        return name

    def _is_copy(self, trained: str, keys: Mapping[str, str]) -> bool:
        """Whether a weight is the base's own: PEFT saves embeddings along with a head's factors.

        Of packed weights only the shape can be compared.
        """
        modules = dict(self.module.named_modules())
        name = locate(trained.removesuffix(".base_layer"), modules, self.prefix)
        if name is None or self.config.is_whole(name) or keys.keys() != {"weight"}:
            return False
        own, copy = getattr(modules[name], "weight", None), self.tensors[keys["weight"]]
        if own is None or own.shape != copy.shape:
            return False
        # Either may have been rounded to bfloat16 on its way.
        return not isinstance(own, torch.Tensor) or torch.allclose(
            own.detach().float().cpu(), copy.float(), rtol=1e-2, atol=1e-4
        )

    def _located_head(self, trained: str, keys: Mapping[str, str]) -> str:
        """A layer that the adapter replaces as a whole: linear ones under modules_to_save."""
        name = locate(trained, self.layers, self.prefix)
        if name is None or not self.config.is_whole(name) or not keys.keys() <= {"weight", "bias"}:
            raise TaskNotSupported(
                f"{self.folder / WEIGHTS} has {next(iter(keys.values()))}, which is neither a "
                "low-rank term nor a linear layer of modules_to_save; merge the adapter into its "
                "base and serve that"
            )
        return name

    def _low_rank(self, name: str, keys: Mapping[str, str]) -> LowRank:
        layer = self.layers[name]
        columns, rows = features(layer)
        a, b = self._tensor(keys, name, "lora_A"), self._tensor(keys, name, "lora_B")
        rank = self.config.rank_of(name) or (a.shape[0] if a.dim() else 0)
        self._check(keys["lora_A"], a, (rank, columns))
        self._check(keys["lora_B"], b, (rows, rank))
        if "lora_E" in keys:
            self._check(keys["lora_E"], self.tensors[keys["lora_E"]], (rank, 1))
            a = a * self.tensors[keys["lora_E"]].float()
        ranknum = float(self.tensors[keys["ranknum"]]) if "ranknum" in keys else None
        return LowRank(_like(layer, a), _like(layer, b * self.config.scale(name, rank, ranknum)))

    def _whole(self, name: str, keys: Mapping[str, str]) -> Whole:
        layer = self.layers[name]
        columns, rows = features(layer)
        weight = self._tensor(keys, name, "weight")
        self._check(keys["weight"], weight, (rows, columns))
        bias = self._tensor(keys, name, "bias") if "bias" in keys else None
        if bias is not None:
            self._check(keys["bias"], bias, (rows,))
        return Whole(_like(layer, weight), None if bias is None else _like(layer, bias))

    def _tensor(self, keys: Mapping[str, str], name: str, part: str) -> torch.Tensor:
        if part not in keys:
            raise WeightsMissing(
                f"{self.folder / WEIGHTS} lacks {part} of {name}; save the adapter again"
            )
        return self.tensors[keys[part]].float()

    def _check(self, key: str, tensor: torch.Tensor, shape: tuple[int, ...]) -> None:
        if tuple(tensor.shape) != shape:
            raise WeightsCorrupt(
                f"{self.folder / WEIGHTS}: {key} is {list(tensor.shape)}, and base model and "
                f"config ask for {list(shape)}: {self._other_base()}"
            )
        if not torch.isfinite(tensor).all():
            raise WeightsCorrupt(
                f"{self.folder / WEIGHTS}: {key} has numbers that are not finite; train it again"
            )

    def _other_base(self) -> str:
        base = self.config.base
        trained = f"it was trained for {base}" if base else "its config names no base"
        return f"{trained}; load it on the model that it was trained for"


def _like(layer: Any, tensor: torch.Tensor) -> torch.Tensor:
    """A copy in the dtype and on the device that a layer computes with."""
    if isinstance(layer, LinearKernel):
        return tensor.to(torch.float32).contiguous()
    return tensor.to(layer.weight.device, layer.weight.dtype).contiguous()


def _read(folder: Path) -> dict[str, torch.Tensor]:
    file = folder / WEIGHTS
    if not file.is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        also = ". adapter_model.bin can run code and is never loaded" if pickled else ""
        raise WeightsMissing(f"{folder} has no {WEIGHTS}: save the adapter as safetensors{also}")
    read_header(file)
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise WeightsCorrupt(f"{file} cannot be read: {error}. Fetch or copy it again") from None
