"""From logits to the next token."""

import torch

from lepton_worker.request import Sampling


def generator(seed: int | None) -> torch.Generator:
    """Random numbers of one sequence alone, so that its neighbours cannot change them."""
    numbers = torch.Generator(device="cpu")
    if seed is None:
        numbers.seed()
    else:
        numbers.manual_seed(seed)
    return numbers


def choose(logits: torch.Tensor, sampling: Sampling, numbers: torch.Generator) -> int:
    """The next token by logits of shape [vocabulary]; greedy at temperature 0."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    return int(torch.multinomial(distribution(logits, sampling), 1, generator=numbers))


def distribution(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Weights by which the next token is drawn, on the CPU: the same on every device."""
    scaled = logits.cpu().double() / sampling.temperature
    if 0 < sampling.top_k < len(scaled):
        edge = torch.topk(scaled, sampling.top_k).values[-1]
        scaled = scaled.masked_fill(scaled < edge, float("-inf"))
    probabilities = scaled.softmax(-1)
    return _nucleus(probabilities, sampling.top_p) if sampling.top_p < 1 else probabilities


def _nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """Only the most probable tokens, until they add up to `top_p`; the first one always stays."""
    ordered, order = probabilities.sort(descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    kept = ordered.masked_fill(before >= top_p, 0.0)
    return torch.zeros_like(probabilities).scatter(-1, order, kept)
