"""Natural log probabilities of tokens, as the model itself has them."""

from collections.abc import Sequence

import torch

from lepton_worker.backends.sampling.truncation import largest
from lepton_worker.request import TokenLogprob

ROWS = 32
"""Rows that are held as float32 at a time, so that a long prompt does not double its logits."""


def logprobs(ids: Sequence[int], logits: torch.Tensor, tops: Sequence[int]) -> list[TokenLogprob]:
    """Log probability of one token for each row of logits [rows, vocabulary], and of the most
    probable ones, as many as `tops` says for the row."""
    found: list[TokenLogprob] = []
    for start in range(0, len(ids), ROWS):
        rows = slice(start, start + ROWS)
        found += _some(ids[rows], logits[rows].float(), tops[rows])
    return found


def _some(ids: Sequence[int], logits: torch.Tensor, tops: Sequence[int]) -> list[TokenLogprob]:
    norms = logits.logsumexp(-1, keepdim=True)
    chosen = logits.gather(1, torch.tensor(ids, device=logits.device)[:, None]) - norms
    best: list[list[tuple[int, float]]] = [[] for _ in ids]
    if any(tops):
        values, tokens = largest(logits, max(tops))
        values -= norms.cpu()
        best = [
            list(zip(*pair, strict=True))
            for pair in zip(tokens.tolist(), values.tolist(), strict=True)
        ]
    return [
        TokenLogprob(token, value, tuple(pairs[:top]))
        for token, value, pairs, top in zip(ids, chosen.flatten().tolist(), best, tops, strict=True)
    ]


def prompt_logprobs(
    ids: Sequence[int], logits: torch.Tensor, top: int = 0
) -> tuple[TokenLogprob, ...]:
    """Log probabilities of a prompt's own tokens.

    `ids` [n] are the tokens that follow the places whose logits [n, vocabulary] are given.
    """
    return tuple(logprobs(ids, logits, [top] * len(ids)))
