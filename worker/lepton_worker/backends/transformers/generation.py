"""What a model's own generation config says, as far as we honour it."""

import json
import logging
from pathlib import Path
from typing import Any

from lepton_worker.model import GenerationDefaults
from lepton_worker.request import Beams

log = logging.getLogger(__name__)

READ = {
    "do_sample",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "suppress_tokens",
    "begin_suppress_tokens",
    "min_new_tokens",
    "max_new_tokens",
    "eos_token_id",
}
HARMLESS = {
    "bos_token_id",
    "pad_token_id",
    "decoder_start_token_id",
    "max_length",
    "use_cache",
    "transformers_version",
}
READ_WITH_ENCODER = {
    "min_length",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "num_beams",
    "length_penalty",
    "early_stopping",
}
"""Fields that are about what the decoder has, which without an encoder begins with the prompt; and
about beams, which only encoder-decoders have here. The end is forced in a search alone."""

NEUTRAL: dict[str, Any] = {
    "min_length": 0,
    "num_beams": 1,
    "num_return_sequences": 1,
    "length_penalty": 1.0,
    "early_stopping": False,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "encoder_repetition_penalty": 1.0,
    "encoder_no_repeat_ngram_size": 0,
    "guidance_scale": 1.0,
    "remove_invalid_values": False,
    "renormalize_logits": False,
    "output_attentions": False,
    "output_hidden_states": False,
    "output_scores": False,
    "output_logits": False,
    "return_dict_in_generate": False,
}
"""Fields that mean nothing at these values, which older configs spell out."""


def declared(folder: Path) -> dict[str, Any]:
    """The fields that the model's generation_config.json sets; none without that file."""
    file = folder / "generation_config.json"
    if not file.is_file():
        return {}
    return set_fields(json.loads(file.read_text()))


def set_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a config that say something."""
    return {
        name: value
        for name, value in fields.items()
        if value is not None and not name.startswith("_")
    }


def defaults(module: Any, folder: Path) -> GenerationDefaults:
    """What holds where a request says nothing. Greedy, unless the model asks for sampling."""
    said = declared(folder)
    encoder_decoder = bool(getattr(module.config, "is_encoder_decoder", False))
    if encoder_decoder and not said:
        said = set_fields(module.generation_config.to_diff_dict())
    ignored = unhonoured(said, encoder_decoder)
    if ignored:
        log.warning("not honoured of the model's generation config: %s", ", ".join(ignored))
    return resolved(said, module.generation_config.eos_token_id, encoder_decoder)


def unhonoured(said: dict[str, Any], encoder_decoder: bool) -> list[str]:
    """The fields that would change what is generated and are not looked at, in order."""
    read = READ | HARMLESS | (READ_WITH_ENCODER if encoder_decoder else set())
    if _are_tokens(said.get("bad_words_ids", [])):
        read |= {"bad_words_ids"}
    return sorted(
        name
        for name, value in said.items()
        if name not in read and not (name in NEUTRAL and value == NEUTRAL[name])
    )


def _are_tokens(words: list[list[int]]) -> bool:
    """Whether each of some forbidden words is one token; longer ones are not looked for."""
    return all(len(word) == 1 for word in words)


def resolved(
    said: dict[str, Any], ends: int | list[int] | None, encoder_decoder: bool
) -> GenerationDefaults:
    """The fields of a generation config as defaults."""
    ending = frozenset([ends] if isinstance(ends, int) else ends or [])
    return GenerationDefaults(
        max_new_tokens=_max_new_tokens(said, encoder_decoder),
        temperature=float(said.get("temperature", 1.0)) if said.get("do_sample") else 0.0,
        top_p=float(said.get("top_p", 1.0)),
        top_k=int(said.get("top_k", 0)),
        min_p=float(said.get("min_p", 0.0)),
        repetition_penalty=float(said.get("repetition_penalty", 1.0)),
        no_repeat_ngram=int(said.get("no_repeat_ngram_size", 0)),
        suppressed=(*said.get("suppress_tokens", ()), *_bad_tokens(said, ending)),
        suppressed_first=tuple(said.get("begin_suppress_tokens", ())),
        min_new_tokens=_min_new_tokens(said, encoder_decoder),
        ends=ending,
        forced=_tokens(said, "forced_bos_token_id") if encoder_decoder else (),
        beams=_beams(said) if encoder_decoder else Beams(),
    )


def _beams(said: dict[str, Any]) -> Beams:
    stopping = said.get("early_stopping", False)
    return Beams(
        count=max(1, int(said.get("num_beams", 1))),
        length_penalty=float(said.get("length_penalty", 1.0)),
        early_stopping="never" if stopping == "never" else bool(stopping),
        ends=_tokens(said, "forced_eos_token_id"),
    )


def _bad_tokens(said: dict[str, Any], ends: frozenset[int]) -> tuple[int, ...]:
    """Forbidden words of one token, such as Marian's padding; transformers spares the ends."""
    words = said.get("bad_words_ids", [])
    return tuple(word[0] for word in words if len(word) == 1 and word[0] not in ends)


def _tokens(said: dict[str, Any], name: str) -> tuple[int, ...]:
    """A field that has a token, or several, or none."""
    token = said.get(name)
    return () if token is None else tuple([token] if isinstance(token, int) else token)


def _max_new_tokens(said: dict[str, Any], encoder_decoder: bool) -> int | None:
    """`max_length` counts all that the decoder has: with an encoder, its first token and the
    answer; without, the prompt too, which no default can say."""
    if "max_new_tokens" in said or not encoder_decoder or "max_length" not in said:
        return said.get("max_new_tokens")
    return max(1, int(said["max_length"]) - 1)


def _min_new_tokens(said: dict[str, Any], encoder_decoder: bool) -> int:
    """`min_length` counts all that the decoder has: with an encoder, its first token and the
    answer; without, the prompt too, which no default can say."""
    if "min_new_tokens" in said:
        return int(said["min_new_tokens"])
    return max(0, int(said.get("min_length", 0)) - 1) if encoder_decoder else 0
