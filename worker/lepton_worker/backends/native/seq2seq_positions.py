"""Positions of a batch's tokens where the decoder adds an embedding of each token's position."""

import inspect
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch


class Positions:
    """Gives each row of a batch the position that its token has in its own text.

    transformers' decoders take one position for all rows. Where one adds embeddings of positions,
    they are computed again, once for each position among the rows, by the decoder's own module.
    """

    def __init__(self, decoder: Any) -> None:
        self._lengths: Sequence[int] = ()
        embedding = getattr(decoder, "embed_positions", None)
        self._hook = (
            embedding.register_forward_hook(self._replace, with_kwargs=True)
            if isinstance(embedding, torch.nn.Module)
            else None
        )

    def set(self, lengths: Sequence[int]) -> None:
        """How many tokens are in front of each row's; none switches this off."""
        self._lengths = lengths if len(set(lengths)) > 1 else ()

    def close(self) -> None:
        """Leave the module as it was."""
        if self._hook is not None:
            self._hook.remove()

    def _replace(
        self, module: Any, args: tuple[Any, ...], named: dict[str, Any], found: torch.Tensor
    ) -> torch.Tensor:
        if not self._lengths:
            return found
        given = inspect.signature(module.forward).bind(*args, **named).arguments
        alike: defaultdict[int, list[int]] = defaultdict(list)
        for row, length in enumerate(self._lengths):
            alike[length].append(row)
        result = found.new_empty((len(self._lengths), 1, found.shape[-1]))
        for length, rows in alike.items():
            asked = {name: _asked(name, value, rows, length) for name, value in given.items()}
            result[rows] = module.forward(**asked).reshape(-1, 1, found.shape[-1])
        return result


def _asked(name: str, value: Any, rows: list[int], length: int) -> Any:
    """What a decoder passes on for all rows, for some of them that have one length."""
    if name == "past_key_values_length":
        return length
    if name == "position_ids":
        return None if value is None else torch.tensor([length], device=value.device)
    if isinstance(value, torch.Tensor):
        return value[rows]
    if isinstance(value, (tuple, torch.Size)):
        return torch.Size((len(rows), *value[1:]))
    return value
