"""Draws from logits under top-k, top-p and min-p, without sorting a whole vocabulary if possible.

Two roads lead to a token, and only the row itself decides which one is taken, so that neighbours
in a batch never change a draw:

- *few*: the largest logits, in falling order, when what may be drawn is surely among them;
- *all*: the whole vocabulary in the order of its numbers, with what may not be drawn at weight 0.

Equal logits rank by their number. Sums are in float64 and in a fixed order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

BLOCK = 64
"""Logits of one block; see `largest`."""

NUCLEUS = 64
"""As many of the largest logits are looked at first for top-p."""

MAX_FEW = 256
"""A larger top-k takes the road of all."""

NONE = -1
"""In place of a token."""


@dataclass(frozen=True)
class Cut:
    """What may be drawn of one row: 0 for all with `top_k`, 1 with `top_p`, 0 with `min_p`."""

    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0


def draw(scaled: torch.Tensor, cuts: Sequence[Cut], numbers: Sequence[float]) -> list[int]:
    """One token for each row of logits [rows, vocabulary] that temperature has been applied to.

    `numbers` are uniform in [0, 1): the cumulative distribution is inverted there. Rows must have
    a finite maximum and no NaN.
    """
    cuts = [_clean(cut, scaled.shape[-1]) for cut in cuts]
    tokens = [NONE] * len(cuts)
    ranked = [row for row, cut in enumerate(cuts) if 0 < cut.top_k <= MAX_FEW]
    massed = [row for row, cut in enumerate(cuts) if not cut.top_k and cut.top_p < 1]
    for road, rows in ((_few, ranked), (_few, massed), (_all, None)):
        rows = [row for row, token in enumerate(tokens) if token == NONE] if rows is None else rows
        if not rows:
            continue
        chosen = scaled if len(rows) == len(cuts) else scaled[rows]
        found = road(chosen, [cuts[row] for row in rows], [numbers[row] for row in rows])
        for row, token in zip(rows, found, strict=True):
            tokens[row] = token
    return tokens


def _clean(cut: Cut, width: int) -> Cut:
    """A top-k as large as the vocabulary is none."""
    return replace(cut, top_k=0) if cut.top_k >= width else cut


def _few(scaled: torch.Tensor, cuts: Sequence[Cut], numbers: Sequence[float]) -> list[int]:
    """Draws among the largest logits; NONE for rows that these do not settle.

    Either all rows have a top-k or none has. The last of the largest logits is only there to see
    whether what is kept ends above it.
    """
    ranked = cuts[0].top_k > 0
    size = max(cut.top_k for cut in cuts) + 1 if ranked else NUCLEUS
    values, tokens = largest(scaled, size)
    weights = (values - values[:, :1]).double().exp()
    counts = torch.tensor([[cut.top_k or values.shape[-1]] for cut in cuts])
    kept = weights * (torch.arange(values.shape[-1]) < counts)
    heights = kept.cumsum(-1)
    total = heights[:, -1:] if ranked else mass(scaled, values[:, :1])
    stays = (heights - kept < _column([cut.top_p for cut in cuts]) * total) & (kept > 0)
    stays &= weights >= _column([cut.min_p for cut in cuts])
    stays[:, 0] = True
    settled = _settled(values, counts if ranked else stays.sum(-1, keepdim=True))
    if not ranked and values.shape == scaled.shape:
        settled = torch.ones_like(settled)
    heights = (kept * stays).cumsum(-1)
    places = invert(heights, _column(numbers) * heights[:, -1:])
    found: list[int] = torch.where(settled, tokens.gather(1, places), NONE).flatten().tolist()
    return found


def _settled(values: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Whether the first `counts` [rows, 1] of falling values [rows, n] are certain: the one that
    comes behind them is smaller, so that no equal ones are left out, or impossible."""
    seen = counts < values.shape[-1]
    behind = values.gather(1, counts.clamp(max=values.shape[-1] - 1))
    return seen & ((values.gather(1, counts - 1) > behind) | behind.isneginf())


def _all(scaled: torch.Tensor, cuts: Sequence[Cut], numbers: Sequence[float]) -> list[int]:
    """Draws from whole rows: first a block by the sums of the blocks, then a token in it."""
    blocks = _in_blocks(scaled)
    flat = blocks.flatten(1)
    weights = (flat - flat.amax(-1, keepdim=True)).exp()
    for row, cut in enumerate(cuts):
        if cut.top_k or cut.top_p < 1:
            weights[row] *= _kept(flat[row], cut)
    if any(cut.min_p for cut in cuts):
        floors = _column([cut.min_p for cut in cuts]).to(weights)
        weights *= weights >= floors
    in_blocks = weights.view_as(blocks)
    heights = in_blocks.sum(-1).cpu().double().cumsum(-1)
    targets = _column(numbers) * heights[:, -1:]
    chosen = invert(heights, targets)
    below = torch.where(chosen > 0, heights.gather(1, (chosen - 1).clamp(min=0)), 0.0)
    rows = torch.arange(len(cuts), device=scaled.device)
    inside = in_blocks[rows, chosen.flatten().to(scaled.device)].cpu().double().cumsum(-1)
    places: list[int] = (chosen * BLOCK + invert(inside, targets - below)).flatten().tolist()
    return places


def _kept(row: torch.Tensor, cut: Cut) -> torch.Tensor:
    """Which logits of one row [vocabulary] top-k and top-p leave; sorts them all."""
    ordered = _falling(row)
    if cut.top_k:
        ordered = ordered[ordered >= ordered[cut.top_k - 1]]
    if cut.top_p >= 1:
        return row >= float(ordered[-1])
    weights = (ordered - ordered[0]).exp_()
    heights = weights.cumsum(0, dtype=torch.float64)
    count = max(1, int((heights - weights < cut.top_p * heights[-1]).sum()))
    edge = float(ordered[count - 1])
    kept = row >= edge
    surplus = int(kept.sum()) - count
    if surplus:
        kept[(row == edge).nonzero().flatten()[-surplus:]] = False
    return kept


def largest(logits: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest logits of each row, falling, with their tokens; [rows, size] each, on the CPU.

    The `size` blocks with the largest maxima hold the `size` largest logits, so that only those
    blocks are searched: several times faster than a search of the whole row. Of equal logits at
    the very end, any may be there.
    """
    size = min(size, logits.shape[-1])
    if size * BLOCK * 2 > logits.shape[-1]:
        values, tokens = logits.topk(size)
    else:
        blocks = _in_blocks(logits)
        best = blocks.amax(-1).topk(size, sorted=False).indices
        inside = blocks.gather(1, best[:, :, None].expand(-1, -1, BLOCK)).flatten(1)
        values, places = inside.topk(size)
        tokens = best.gather(1, places // BLOCK) * BLOCK + places % BLOCK
    tokens, order = tokens.cpu().sort(-1)
    values, order = values.cpu().gather(1, order).sort(dim=-1, descending=True, stable=True)
    return values, tokens.gather(1, order)


def mass(logits: torch.Tensor, peaks: torch.Tensor) -> torch.Tensor:
    """Sum of the exponentials relative to the largest logits; [rows, 1], float64, on the CPU."""
    weights = (logits - peaks.to(logits.device)).exp_()
    return _in_blocks(weights, 0.0).sum(-1).cpu().double().cumsum(-1)[:, -1:]


def _in_blocks(rows: torch.Tensor, filling: float = float("-inf")) -> torch.Tensor:
    """Rows [rows, vocabulary] as [rows, blocks, BLOCK], filled up at the end."""
    missing = -rows.shape[-1] % BLOCK
    if missing:
        rows = torch.nn.functional.pad(rows, (0, missing), value=filling)
    return rows.reshape(len(rows), -1, BLOCK)


def _falling(row: torch.Tensor) -> torch.Tensor:
    """A row [n] in falling order, on the CPU; there, numpy sorts many times faster than torch."""
    if row.device.type != "cpu":
        return row.sort(descending=True).values.cpu()
    return torch.from_numpy(np.sort(row.numpy())[::-1].copy())


def invert(heights: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Where cumulative weights [rows, n] pass the targets [rows, 1]; never at a weight of 0."""
    passed = (heights <= targets).sum(-1, keepdim=True)
    last = (heights < heights[:, -1:]).sum(-1, keepdim=True)
    return torch.minimum(passed, last)


def _column(numbers: Sequence[float]) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)[:, None]
