"""What vLLM's RequestOutput says, in our own words; knows no vLLM."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lepton_worker.backends.base import Written
from lepton_worker.request import TokenLogprob


class Rated(Protocol):
    """vLLM's Logprob, as far as it is read."""

    @property
    def logprob(self) -> float:
        """Natural log probability."""


@dataclass(frozen=True)
class News:
    """What one output adds to a text.

    `reason` is vLLM's finish reason, "" while the text goes on. `prompt` has the log probability of
    each of the prompt's tokens but the first. `cached` tokens of the prompt had state before.
    """

    written: tuple[Written, ...]
    reason: str = ""
    prompt: tuple[TokenLogprob, ...] = ()
    cached: int = 0


def news(output: Any, top: int | None) -> News:
    """Read a RequestOutput of kind DELTA; `top` is how many best tokens were asked for."""
    [completion] = output.outputs
    ids = [int(token) for token in completion.token_ids]
    rated = completion.logprobs if top is not None else None
    logprobs = (
        [None] * len(ids)
        if rated is None
        else [
            token_logprob(token, place, top or 0) for token, place in zip(ids, rated, strict=True)
        ]
    )
    return News(
        written=tuple(map(Written, ids, logprobs)),
        reason=str(completion.finish_reason or "") if output.finished else "",
        prompt=prompt_logprobs(output, top or 0),
        cached=int(output.num_cached_tokens or 0),
    )


def prompt_logprobs(output: Any, top: int) -> tuple[TokenLogprob, ...]:
    """Of the prompt's tokens from the second one on; none until vLLM has them all."""
    rated = output.prompt_logprobs
    if not rated:
        return ()
    pairs = zip(output.prompt_token_ids[1:], rated[1:], strict=True)
    return tuple(token_logprob(int(token), place, top) for token, place in pairs)


def token_logprob(token: int, place: Mapping[int, Rated], top: int) -> TokenLogprob:
    """A token at its place: vLLM gives it beside the best ones, in one dictionary."""
    best = sorted(place.items(), key=lambda item: -item[1].logprob)[:top]
    pairs = tuple((int(other), float(rated.logprob)) for other, rated in best)
    return TokenLogprob(token, float(place[token].logprob), pairs)
