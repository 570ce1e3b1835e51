"""What an encoder-decoder model declares of its tasks, its languages and its decoder's start."""

import dataclasses
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lepton_worker.backends.transformers.generation import resolved, set_fields
from lepton_worker.errors import WeightsCorrupt
from lepton_worker.model import GenerationDefaults, Model
from lepton_worker.request import Sampling

LANGUAGES = (
    re.compile(r"([a-z]{3}_[A-Z][a-z]{3})"),  # NLLB: eng_Latn
    re.compile(r"([a-z]{2}_[A-Z]{2})"),  # mBART: en_XX
    re.compile(r"__([a-z]{2,3})__"),  # M2M100: __en__
)
"""How tokens of languages are written; the group is the language's name."""

SUMMARY = "summarization"


@dataclass(frozen=True)
class Beginning:
    """The tokens that a decoder begins with, and those that mean a language."""

    tokens: tuple[int, ...]
    languages: frozenset[int]

    def of(self, sampling: Sampling) -> tuple[int, ...]:
        """The first tokens for one text, nothing where its answer's given ones are the first.

        Decoders of the first mBART begin with the language itself: another language that is asked
        for takes that place. All others begin with a token of their own, and the language follows.
        """
        given = frozenset(sampling.forced[:1])
        replaced = bool(given) and self.languages.issuperset((*given, *self.tokens))
        return () if replaced else self.tokens


def with_seq2seq(facts: Model, folder: Path, generation: Any) -> Model:
    """The facts of a model with those that only encoder-decoders have; `generation` is its
    module's generation config."""
    config = json.loads((folder / "config.json").read_text())
    special: dict[str, int] = getattr(facts.tokenizer, "specials", {})
    known = languages(special.items())
    return dataclasses.replace(
        facts,
        encoder_decoder=True,
        prompts={**prompts(config), **led(getattr(facts.tokenizer, "leads", {}))},
        task_defaults=task_defaults(config, generation),
        languages={name: token for name, token in known.items() if token < facts.vocabulary},
    )


def prompts(config: dict[str, Any]) -> dict[str, str]:
    """What goes in front of a text, by the name of the task, as far as a config says so."""
    found = {}
    if isinstance(config.get("prefix"), str):
        found[SUMMARY] = config["prefix"]
    declared = config.get("task_specific_params") or {}
    for name, said in declared.items():
        prefix = said.get("prefix") if isinstance(said, dict) else None
        if isinstance(prefix, str):
            found[name] = prefix
    return found


def led(leads: dict[str, str]) -> dict[str, str]:
    """The prompts of a model whose texts begin with the language that it shall write (Marian)."""
    return {f"translation__to_{name}": f"{token} " for name, token in leads.items()}


def task_defaults(config: dict[str, Any], generation: Any) -> dict[str, GenerationDefaults]:
    """What a config says of generation for single tasks, over what holds for all, by their names.

    Older configs say so (T5, BART), and transformers' pipelines have followed them.
    """
    whole = set_fields(generation.to_diff_dict())
    declared = config.get("task_specific_params") or {}
    return {
        name: resolved({**whole, **set_fields(said)}, generation.eos_token_id, True)
        for name, said in declared.items()
        if isinstance(said, dict) and set(said) - {"prefix"}
    }


def languages(tokens: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The tokens that name a language, by the language's name."""
    found = {}
    for text, number in tokens:
        named = next((match for form in LANGUAGES if (match := form.fullmatch(text))), None)
        if named is not None:
            found[named[1]] = number
    return found


def beginning(module: Any, facts: Model) -> Beginning:
    """What the decoder begins with; raises WeightsCorrupt where nothing says so."""
    said = (
        module.generation_config.decoder_start_token_id,
        getattr(module.config, "decoder_start_token_id", None),
        module.generation_config.bos_token_id,
    )
    first = next((token for token in said if token is not None), None)
    if first is None:
        raise WeightsCorrupt(
            "neither config.json nor generation_config.json has a decoder_start_token_id, so that "
            "nothing says which token an answer begins with"
        )
    tokens = (first,) if isinstance(first, int) else tuple(first)
    return Beginning(tokens, frozenset(facts.languages.values()))


def beams(facts: Model) -> str:
    """How Summarise and Translate search for answers, in words for users."""
    count = facts.defaults.beams.count
    said = "one token after the other" if count == 1 else "as the model's own config asks"
    own = {name: task.beams.count for name, task in facts.task_defaults.items()}
    others = [f"{name} {wanted}" for name, wanted in own.items() if wanted != count]
    return "; ".join([f"{count}: {said}", *others])


def most_beams(facts: Model) -> int:
    """The most beams that the model itself asks for."""
    return max(said.beams.count for said in (facts.defaults, *facts.task_defaults.values()))
