"""An encoder as its users write it with transformers: one padded batch a call."""

from collections.abc import Sequence
from typing import Any

import torch
import transformers


class Encoder:
    """Probabilities of labels, or the mean of all tokens scaled to length 1."""

    def __init__(self, folder: str, task: str) -> None:
        made: Any = (
            transformers.AutoModelForSequenceClassification
            if task == "classify"
            else transformers.AutoModel
        )
        self._classifies = task == "classify"
        self._model = made.from_pretrained(folder).eval()
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)

    @torch.inference_mode()
    def predict(self, texts: Sequence[str]) -> list[list[float]]:
        """Numbers of each text, computed in one batch padded to the longest."""
        batch = self._tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        if self._classifies:
            found: list[list[float]] = self._model(**batch).logits.softmax(-1).tolist()
            return found
        states = self._model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        mean = (states * mask).sum(1) / mask.sum(1)
        vectors: list[list[float]] = torch.nn.functional.normalize(mean, dim=-1).tolist()
        return vectors
