"""How far the outputs of a module moved when its weights were shortened."""

from dataclasses import dataclass
from typing import Any

import torch

PROMPTS = 4
SHORTEST = 8
PASSES = 0.1
"""Relative error up to which shortened weights are taken as faithful."""


@dataclass(frozen=True)
class Drift:
    """The worst prompt's relative error (norm of the difference by norm) and cosine."""

    error: float
    cosine: float

    @property
    def passes(self) -> bool:
        """Whether the outputs are near enough; not a number is not."""
        return self.error <= PASSES

    def __str__(self) -> str:
        return (
            f"outputs differ from float32 by {100 * self.error:.1f} % "
            f"(cosine {self.cosine:.4f}) at worst, on {PROMPTS} prompts of random tokens"
        )


def outputs(module: Any) -> list[torch.Tensor]:
    """Logits, or else last states, for prompts of random tokens, always the same ones.

    Random tokens show saturation, outliers and wrong kernels. They do not show what a task
    loses: a trained model is surer of real text than of these.
    """
    vocabulary = int(module.get_input_embeddings().num_embeddings)
    generator = torch.Generator().manual_seed(0)
    results = []
    with torch.inference_mode():
        for index in range(PROMPTS):
            shape = (1, SHORTEST * (index + 1))
            ids = torch.randint(vocabulary, shape, generator=generator)
            extra = {"decoder_input_ids": ids} if module.config.is_encoder_decoder else {}
            found = module(input_ids=ids, attention_mask=torch.ones_like(ids), **extra)
            result = found.logits if "logits" in found else found.last_hidden_state
            results.append(result.float().flatten())
    return results


def drift(before: list[torch.Tensor], after: list[torch.Tensor]) -> Drift:
    """How far `after` is from `before`, for the prompt with the largest error."""
    pairs = list(zip(before, after, strict=True))
    errors = torch.stack([(new - old).norm() / old.norm() for old, new in pairs])
    cosines = torch.stack([torch.cosine_similarity(old, new, dim=0) for old, new in pairs])
    return Drift(float(errors.max()), float(cosines.min()))
