"""Pooling as a folder declares it, in the files of sentence-transformers."""

import json
from pathlib import Path
from typing import Any

from lepton_worker.errors import TaskNotSupported, WeightsCorrupt
from lepton_worker.model import Pooling

MODULES = "modules.json"
FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
NAMES = {**{mode: mode for mode in FLAGS.values()}, "mean_sqrt_len_tokens": "mean_sqrt_len"}


def declares_pooling(folder: Path) -> bool:
    """Whether the folder is a sentence encoder."""
    return (folder / MODULES).is_file()


def read_pooling(folder: Path) -> Pooling:
    """What the folder declares, or the mean of all tokens; raises LoadError."""
    if not declares_pooling(folder):
        return Pooling()
    modules = _read(folder / MODULES)
    if not isinstance(modules, list):
        raise WeightsCorrupt(f"{folder / MODULES} holds no list of modules")
    modes: tuple[str, ...] = ()
    normalize = False
    for module in modules:
        kind = str(module.get("type", "")).rsplit(".", 1)[-1]
        if kind == "Pooling":
            modes = _modes(folder / str(module.get("path", "")) / "config.json")
        elif kind == "Normalize":
            normalize = True
        elif kind not in ("Transformer", "Dropout"):
            raise TaskNotSupported(
                f"{folder / MODULES} asks for a {kind} module, which is not offered: "
                "embeddings are pooled states (Pooling), scaled to length 1 if asked (Normalize)"
            )
    transformer = _read(folder / "sentence_bert_config.json")
    prompts, usual = _prompts(_read(folder / "config_sentence_transformers.json"))
    return Pooling(
        modes=modes or ("mean",),
        normalize=normalize,
        max_length=transformer.get("max_seq_length"),
        lower_case=bool(transformer.get("do_lower_case", False)),
        prefix=prompts.get(usual, ""),
        prompts=prompts,
    )


def _modes(file: Path) -> tuple[str, ...]:
    config = _read(file)
    if config.get("include_prompt") is False:
        raise TaskNotSupported(f"{file} leaves the prompt out of the pooling: that is not offered")
    named = config.get("pooling_mode")
    if named is not None:
        chosen = [named] if isinstance(named, str) else list(named)
    else:
        chosen = [mode for flag, mode in FLAGS.items() if config.get(flag)]
    unknown = [mode for mode in chosen if mode not in NAMES]
    if unknown:
        raise TaskNotSupported(f"{file} asks for pooling {unknown[0]!r}, which is not offered")
    return tuple(NAMES[mode] for mode in chosen)


def _prompts(config: dict[str, Any]) -> tuple[dict[str, str], str]:
    """The prompts by their names, and the name of the usual one."""
    prompts = config.get("prompts") or {}
    usual = config.get("default_prompt_name") or ""
    return {str(name): str(text) for name, text in prompts.items()}, str(usual)


def _read(file: Path) -> Any:
    """Content of a JSON file; an empty object if it is not there."""
    if not file.is_file():
        return {}
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise WeightsCorrupt(f"{file} is not JSON: {error}") from None
