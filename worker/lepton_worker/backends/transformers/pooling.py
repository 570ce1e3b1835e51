"""From the states of tokens to one vector a text."""

from collections.abc import Callable

import torch

Mode = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(states [batch, length, width], mask [batch, length, 1]) -> [batch, width]; padding is right."""


def _cls(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return states[:, 0]


def _mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (states * mask).sum(1) / mask.sum(1)


def _mean_sqrt_len(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (states * mask).sum(1) / mask.sum(1).sqrt()


def _max(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return states.masked_fill(mask == 0, float("-inf")).amax(1)


def _weighted_mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)[None, :, None]
    return (states * weights).sum(1) / weights.sum(1)


def _last_token(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    last = mask.squeeze(-1).sum(1).long() - 1
    return states[torch.arange(len(states), device=states.device), last]


MODES: dict[str, Mode] = {
    "cls": _cls,
    "mean": _mean,
    "max": _max,
    "mean_sqrt_len": _mean_sqrt_len,
    "weightedmean": _weighted_mean,
    "lasttoken": _last_token,
}


def pool(states: torch.Tensor, mask: torch.Tensor, modes: tuple[str, ...]) -> torch.Tensor:
    """Vectors by each mode, joined, in float32."""
    wide, column = states.float(), mask[:, :, None].float()
    return torch.cat([MODES[mode](wide, column) for mode in modes], dim=1)
