"""The first layers of a model that stand for all of them in a trial."""

import contextlib
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from torch import nn

LEAST = 2
"""Layers of a trial: what one of them leaves has to be read by another one."""
PLACE = "layer_idx"
"""Where a layer keeps its own number, which makes no kind."""


@contextlib.contextmanager
def leading(module: Any) -> Iterator[int | None]:
    """Have a module compute its first layers alone, as many as hold each kind that it has.

    Yields their number, or None where all compute: for modules whose layers are in no one list, or
    are all needed.
    """
    found = _list_of_layers(module)
    count = None if found is None else shortest(_kinds(module, found[2]))
    if found is None or count is None or count == len(found[2]):
        yield None
        return
    owner, name, layers = found
    owner._modules[name] = nn.ModuleList(list(layers)[:count])
    try:
        yield count
    finally:
        owner._modules[name] = layers


def shortest(kinds: Sequence[Hashable]) -> int:
    """How many leading layers hold every kind, `LEAST` at least where there are as many."""
    firsts = [kinds.index(kind) + 1 for kind in set(kinds)]
    return max(min(LEAST, len(kinds)), *firsts, 0)


def _list_of_layers(module: Any) -> tuple[nn.Module, str, nn.ModuleList] | None:
    """The list that is as long as the configuration says, with its owner; None for no such one."""
    count = module.config.get_text_config(decoder=True).num_hidden_layers
    found = [
        (owner, name, child)
        for owner in module.modules()
        for name, child in owner._modules.items()
        if isinstance(child, nn.ModuleList) and len(child) == count
    ]
    return found[0] if len(found) == 1 else None


def _kinds(module: Any, layers: nn.ModuleList) -> list[Hashable]:
    """What each layer is: its parts, their sizes and settings, and what the configuration says."""
    config = vars(module.config.get_text_config(decoder=True))
    listed = [
        said for said in config.values() if isinstance(said, list) and len(said) == len(layers)
    ]
    return [
        (_parts(layer), tuple(str(said[index]) for said in listed))
        for index, layer in enumerate(layers)
    ]


def _parts(layer: nn.Module) -> Hashable:
    return tuple(
        (name, type(part), _settings(part), _sizes(part)) for name, part in layer.named_modules()
    )


def _settings(part: nn.Module) -> Hashable:
    plain = (int, float, bool, str, tuple, type(None))
    return tuple(
        (name, str(value))
        for name, value in sorted(vars(part).items())
        if isinstance(value, plain) and name != PLACE
    )


def _sizes(part: nn.Module) -> Hashable:
    tensors = [*part._parameters.items(), *part._buffers.items()]
    return tuple((name, None if item is None else tuple(item.shape)) for name, item in tensors)
