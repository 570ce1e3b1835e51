"""Attention over pages: what transformers' modules call in place of their own attention.

The cache has written a step's keys and values into the pages; attention then reads the pages by the
tables of the texts. How, is a kernel's business: `gathered` here, which runs everywhere and is the
measure, and `varlen.varlen` on CUDA. Both take the same arguments.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from lepton_worker.backends.native.paged.layout import Layout
from lepton_worker.backends.native.stepping import Unsupported, current, seen, window_alone

NAME = "lepton_pages"


@dataclass(frozen=True)
class Rows:
    """Rows `first` up to `last` of a step, by text, as `layout.Layout` on the device.

    `starts`, `seen`, `totals` and `table` are int32 of shape [texts + 1], [texts], [texts + 1] and
    [texts, pages].
    """

    first: int
    last: int
    starts: torch.Tensor
    seen: torch.Tensor
    totals: torch.Tensor
    table: torch.Tensor
    most: int

    @classmethod
    def of(cls, numbers: Layout, first: int, device: torch.device) -> "Rows":
        """Rows of a step from `first` on."""
        starts, seen_tokens, totals, table = (
            torch.tensor(column, dtype=torch.int32, device=device)
            for column in (numbers.starts, numbers.seen, numbers.totals, numbers.table)
        )
        last = first + numbers.starts[-1]
        return cls(first, last, starts, seen_tokens, totals, table, numbers.most)


class Kernel(Protocol):
    """Attention of rows to the pages of their own texts."""

    def __call__(
        self,
        query: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        rows: Rows,
        scale: float,
        window: int | None,
        sums: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Queries [rows, heads, size], keys and values [pages, page, kept heads, size].

        The last row of a text sees all its tokens, each row before it one less; with a window, only
        the last so many of those. Returns [rows, heads, size] and, if asked for, the logarithms of
        the sums of the exponentials of the scores, [heads, rows].
        """


@dataclass
class PagedStep:
    """One packed forward over pages; see `stepping.Step`.

    `index` is where among all tokens of all pages each token's state goes.
    """

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    index: torch.Tensor
    parts: list[Rows]
    kernel: Kernel
    checked: bool = True
    layer: int = -1
    attended: int = 0
    newest: tuple[torch.Tensor, torch.Tensor] | None = field(default=None, repr=False)

    def write(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Keep keys and values of shape [1, heads, tokens, size] in the pages."""
        self.keys[layer].flatten(0, 1).index_copy_(0, self.index, keys[0].transpose(0, 1))
        self.values[layer].flatten(0, 1).index_copy_(0, self.index, values[0].transpose(0, 1))


def pages_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    sliding_window: int | None = None,
    position_bias: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Queries [1, heads, tokens, size] over the pages of the running step.

    Returns [1, tokens, heads, size]. `s_aux` are scores of a sink that takes weight and gives
    nothing, one for each head. Raises Unsupported where scores are capped.
    """
    if softcap is not None:
        raise Unsupported("scores are capped, which attention over pages does not compute")
    step: PagedStep = current(position_bias)
    window = seen(attention_mask, sliding_window)
    keys, values = step.keys[step.layer], step.values[step.layer]
    step.layer = -1
    scale = query.shape[3] ** -0.5 if scaling is None else scaling
    rows = query[0].transpose(0, 1).contiguous()
    outputs = []
    for part in step.parts:
        own = rows[part.first : part.last]
        output, sums = step.kernel(own, keys, values, part, scale, window, s_aux is not None)
        if s_aux is not None:
            assert sums is not None
            # A sink's share of the weights is the sigmoid of its score less the others' sum.
            share = torch.sigmoid(sums - s_aux[:, None].to(sums.dtype))
            output = output * share.t()[:, :, None].to(output.dtype)
        outputs.append(output)
    whole = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return whole[None], None


def gathered(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    rows: Rows,
    scale: float,
    window: int | None,
    sums: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The kernel spelled out: each text's pages copied together, then torch's own attention."""
    page, shared = keys.shape[1], query.shape[1] // keys.shape[2]
    starts, lengths = rows.starts.tolist(), rows.seen.tolist()
    outputs, logarithms = [], []
    for text, length in enumerate(lengths):
        table = rows.table[text, : -(-length // page)].long()
        own = query[starts[text] : starts[text + 1]].transpose(0, 1)
        known = [
            kept[table].flatten(0, 1)[:length].transpose(0, 1).repeat_interleave(shared, 0)
            for kept in (keys, values)
        ]
        visible = _visible(own.shape[1], length, window, query.device)
        output = scaled_dot_product_attention(
            own[None], known[0][None], known[1][None], attn_mask=visible, scale=scale
        )
        outputs.append(output[0].transpose(0, 1))
        if sums:
            scores = (own.float() @ known[0].float().transpose(1, 2)) * scale
            logarithms.append(scores.masked_fill(~visible, float("-inf")).logsumexp(-1))
    return torch.cat(outputs), torch.cat(logarithms, 1) if sums else None


def _visible(rows: int, length: int, window: int | None, device: torch.device) -> torch.Tensor:
    """Which of a text's tokens its last rows see: [rows, length]."""
    own = torch.arange(length - rows, length, device=device)[:, None]
    other = torch.arange(length, device=device)
    found = other <= own
    return found if window is None else found & (other > own - window)


AttentionInterface.register(NAME, pages_attention)
AttentionMaskInterface.register(NAME, window_alone)
