"""What attention over slots and over pages have in common: the step that runs, cache and mask.

A step is one packed row of tokens of many texts. Modules of transformers get a cache that writes
their keys and values where the step says, and in place of a mask the window alone: which tokens are
there is known to the step.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers.cache_utils import Cache


class Unsupported(Exception):
    """The model asks for an attention that slots and pages do not compute."""


class Step(Protocol):
    """One packed forward.

    `layer` is the one whose state was written last, -1 when its attention has run; `attended`
    counts layers whose attention has run, `newest` are the keys and values of the last one.
    `checked` says that masks of this module have been looked at before.
    """

    checked: bool
    layer: int
    attended: int
    newest: tuple[torch.Tensor, torch.Tensor] | None

    def write(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Keep keys and values of shape [1, heads, tokens, size]."""


@dataclass(frozen=True)
class Visible:
    """What a layer's tokens see: all before them, or the last `window`, themselves included.

    Stands in for the mask, which modules hand on as it is.
    """

    window: int | None = None


_STEP: ContextVar[Any] = ContextVar("lepton_step")


@contextlib.contextmanager
def running(step: Step) -> Iterator[None]:
    """Make a step the one that attention computes."""
    token = _STEP.set(step)
    try:
        yield
    finally:
        _STEP.reset(token)


def current(position_bias: object) -> Any:
    """The running step, whose layer now attends; raises Unsupported for what no step computes."""
    step = _STEP.get()
    if step.layer < 0 or position_bias is not None:
        raise Unsupported("attention has no state of its own, or a bias by position")
    step.attended += 1
    return step


def seen(attention_mask: object, sliding_window: int | None) -> int | None:
    """How many tokens a layer's tokens see, themselves included; None for all before them."""
    return attention_mask.window if type(attention_mask) is Visible else sliding_window


class StepCache(Cache):
    """What modules take for their cache: hands a step's keys and values to the step."""

    def __init__(self, layers: int) -> None:
        super().__init__(layers=[])
        self.last = layers - 1
        self.step: Step | None = None

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *_: Any,
        **__: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of shape [1, heads, tokens, size]; returned as they are."""
        step = self.step
        assert step is not None
        step.write(layer_idx, key_states, value_states)
        step.layer = layer_idx
        if layer_idx == self.last:
            step.newest = (key_states, value_states)
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Nothing is before the packed row, as far as modules and masks can tell."""
        return 0

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """As of an empty cache."""
        return query_length, 0


def window_alone(
    *,
    local_size: int | None = None,
    mask_function: Callable[..., Any] | None = None,
    device: Any = None,
    **others: Any,
) -> Visible:
    """In place of a mask; raises Unsupported where it would be more than causal and a window."""
    if "allow_is_bidirectional_skip" in others:
        raise Unsupported("tokens see those behind them")
    if not _STEP.get().checked and mask_function is not None:
        _check(mask_function, local_size)
    return Visible(local_size)


def _check(mask_function: Callable[..., Any], window: int | None) -> None:
    """Whether a mask is the causal one, within the window, at the places where others differ."""
    reach = window or 8
    edges = [0, 1, reach - 1, reach, reach + 1, 2 * reach - 1, 2 * reach, 2 * reach + 1]
    zero = torch.zeros((), dtype=torch.long)
    for own in edges:
        for other in edges:
            visible = mask_function(zero, zero, torch.tensor(own), torch.tensor(other))
            if bool(visible) != (other <= own and (window is None or other > own - window)):
                raise Unsupported("tokens see others than those before them, or a window of those")
