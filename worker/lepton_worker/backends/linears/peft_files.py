"""What an adapter's files say, as PEFT writes them: its config and the names of its tensors.

Pure but for reading the config: no tensor is touched here. The format is that of PEFT's
`save_pretrained`; the methods are LoRA (Hu et al., 2021), rank-stabilised LoRA (Kalajdzievski,
2023) and AdaLoRA (Zhang et al., 2023).
"""

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lepton_worker.errors import SourceNotFound, TaskNotSupported, WeightsCorrupt, WeightsMissing

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
LORA, ADALORA = "LORA", "ADALORA"
PREFIX = "base_model.model."
RANK_EPSILON = 1e-5
"""Added to the rank that AdaLoRA divides by."""

REFUSED = {
    "use_dora": "DoRA rescales whole columns of the base",
    "use_qalora": "QALoRA pools its inputs",
    "use_bdlora": "its factors are block-diagonal",
    "lora_bias": "its second factor has a bias",
    "layer_replication": "it repeats layers of the base",
    "target_parameters": "it changes parameters that are not linear layers",
    "trainable_token_indices": "it changes embeddings",
    "alora_invocation_tokens": "it becomes active in the middle of a text",
    "arrow_config": "it routes between adapters",
    "kasa_config": "it changes the base",
    "velora_config": "it is not plain LoRA",
    "monteclora_config": "its factors are random",
    "megatron_config": "it belongs to Megatron's layers",
}
"""Fields of the config that, when set, make something other than low-rank terms, and why."""
PLAIN_STARTS = (True, False, None, "true", "gaussian", "eva", "orthogonal")
"""Values of `init_lora_weights` that leave the base model's weights as they are."""


@dataclass(frozen=True)
class AdapterConfig:
    """The fields of `adapter_config.json` that matter for computing.

    `rank` is the one at the start of the training: AdaLoRA goes on dividing by it. `targets` None
    means that the file alone says which layers it is for. `whole` are the names of modules that
    the adapter replaces as a whole.
    """

    method: str
    rank: int
    alpha: float
    targets: tuple[str, ...] | str | None = None
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    stabilised: bool = False
    whole: tuple[str, ...] = ()
    base: str = ""

    def rank_of(self, name: str) -> int | None:
        """The rank that a layer's factors should have; None where only the file knows."""
        return None if self.method == ADALORA else int(_by(self.rank_pattern, name, self.rank))

    def scale(self, name: str, rank: int, ranknum: float | None = None) -> float:
        """What the product of a layer's factors is multiplied by.

        `ranknum` is AdaLoRA's divisor for files that have it; PEFT leaves it out.
        """
        alpha = float(_by(self.alpha_pattern, name, self.alpha))
        if self.method == ADALORA:
            divisor = self.rank if ranknum is None else ranknum
            return (alpha if alpha > 0 else rank) / (divisor + RANK_EPSILON)
        return alpha / (math.sqrt(rank) if self.stabilised else rank)

    def is_whole(self, name: str) -> bool:
        """Whether a module is one of `whole` or lies within one."""
        return any(re.match(rf"(^|.*\.){re.escape(item)}($|\..*)", name) for item in self.whole)


@dataclass(frozen=True)
class TensorNames:
    """The file's tensors by layer: low-rank `factors` (lora_A, …) and `whole` weights."""

    factors: dict[str, dict[str, str]]
    whole: dict[str, dict[str, str]]


def read_config(folder: Path) -> AdapterConfig:
    """Read and check the config of an adapter; raises LoadError."""
    file = folder / CONFIG
    if not folder.is_dir():
        raise SourceNotFound(f"{folder} is not there: no adapter to load")
    if not file.is_file():
        raise WeightsMissing(
            f"{folder} has no {CONFIG}: save the adapter with PEFT's save_pretrained"
        )
    try:
        fields = json.loads(file.read_text())
        if not isinstance(fields, dict):
            raise ValueError("not an object")
        return parse_config(fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsCorrupt(f"{file} is not the config of an adapter: {error!r}") from None


def parse_config(fields: Mapping[str, Any]) -> AdapterConfig:
    """The config in a file; raises TaskNotSupported for what cannot be computed here.

    Fields of wrong types raise what Python raises for them (ValueError, KeyError, TypeError).
    """
    method = fields["peft_type"]
    if method not in (LORA, ADALORA):
        raise TaskNotSupported(
            f"{CONFIG}: peft_type {method} is not supported: LORA and ADALORA are"
        )
    _refuse(fields)
    config = AdapterConfig(
        method=method,
        rank=int(fields["r"] if method == LORA else fields["init_r"]),
        alpha=float(fields["lora_alpha"]),
        targets=_targets(fields),
        rank_pattern={} if method == ADALORA else dict(fields.get("rank_pattern") or {}),
        alpha_pattern=dict(fields.get("alpha_pattern") or {}),
        stabilised=bool(fields.get("use_rslora")),
        whole=tuple(fields.get("modules_to_save") or ()),
        base=str(fields.get("base_model_name_or_path") or ""),
    )
    if method == LORA and min([config.rank, *config.rank_pattern.values()]) < 1:
        raise ValueError("r has to be 1 or more")
    return config


def _refuse(fields: Mapping[str, Any]) -> None:
    for name, reason in REFUSED.items():
        if fields.get(name) not in (None, False, [], {}):
            raise TaskNotSupported(
                f"{CONFIG}: {name} is set, and {reason}; only plain LoRA is served, so merge "
                "the adapter into its base and serve that"
            )
    if fields.get("bias", "none") != "none":
        raise TaskNotSupported(
            f"{CONFIG}: bias is {fields['bias']!r}, so the base's biases were trained too; "
            "train with bias 'none', or merge the adapter into its base and serve that"
        )
    start = fields.get("init_lora_weights")
    if start not in PLAIN_STARTS:
        raise TaskNotSupported(
            f"{CONFIG}: init_lora_weights {start!r} changes the base's weights; save again with "
            "path_initial_model_for_weight_conversion, which makes it plain LoRA"
        )


def _targets(fields: Mapping[str, Any]) -> tuple[str, ...] | str | None:
    """The targets, where they say without doubt which layers have to be in the file."""
    targets = fields.get("target_modules")
    if fields.get("exclude_modules") or fields.get("layers_to_transform") is not None:
        return None
    if targets is None or targets == "all-linear":
        return None
    return targets if isinstance(targets, str) else tuple(map(str, targets))


def _by(pattern: Mapping[str, Any], name: str, default: Any) -> Any:
    """The value of the first key that is the end of a name, as a regular expression."""
    for key, value in pattern.items():
        if re.match(rf"(.*\.)?({key})$", name):
            return value
    return default


FACTOR = re.compile(
    r"(?P<layer>.+)\.(?P<part>lora_[A-Za-z_]+|ranknum)(\.default)?(?P<leaf>\.weight|\.bias)?"
)


def sort_names(keys: Iterable[str]) -> TensorNames:
    """Which tensor of a file is what; raises TaskNotSupported for parts that are not LoRA's."""
    names = TensorNames({}, {})
    for key in keys:
        name = key.removeprefix(PREFIX)
        found = FACTOR.fullmatch(name)
        if found is None:
            layer, _, leaf = name.replace(".modules_to_save.default", "").rpartition(".")
            names.whole.setdefault(layer, {})[leaf] = key
        elif found["part"] not in ("lora_A", "lora_B", "lora_E", "ranknum") or (
            found["leaf"] == ".bias"
        ):
            raise TaskNotSupported(
                f"{WEIGHTS} has {key}: only low-rank terms of linear layers are served, "
                "not DoRA, biases or embeddings"
            )
        else:
            names.factors.setdefault(found["layer"], {})[found["part"]] = key
    return names


def locate(name: str, known: Collection[str], prefix: str) -> str | None:
    """The base's name for a layer, which may have been trained with or without the head's class."""
    candidates = (name, f"{prefix}.{name}", name.removeprefix(f"{prefix}."))
    return next((item for item in candidates if item in known), None)


def targeted(config: AdapterConfig, known: Iterable[str]) -> set[str]:
    """The layers of the base that the config names, so that the file has to have them.

    Poolers are left out: whether there is one depends on the class that was trained.
    """
    targets = config.targets
    if targets is None:
        return set()
    return {
        name
        for name in known
        if _matches(targets, name) and not config.is_whole(name) and "pooler" not in name
    }


def _matches(targets: tuple[str, ...] | str, name: str) -> bool:
    if isinstance(targets, str):
        return re.fullmatch(targets, name) is not None
    return any(name == item or name.endswith(f".{item}") for item in targets)
