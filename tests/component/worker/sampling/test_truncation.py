"""Which tokens may be drawn and with which weight; transformers' own warpers are the measure.

Numbers spread evenly over [0, 1) must meet each token as often as its probability says, but for
one at each end of its piece: that shows the kept set and the weights at once, without chance.
"""

import itertools

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from lepton_worker.backends.sampling.truncation import Cut, draw, invert, largest

pytestmark = pytest.mark.component

COUNT = 500
EVEN = [(number + 0.5) / COUNT for number in range(COUNT)]

ROADS = [
    Cut(),
    Cut(top_k=1),
    Cut(top_k=5),
    Cut(top_k=64),
    Cut(top_k=300),
    Cut(top_k=10**6),
    Cut(top_p=0.0),
    Cut(top_p=0.3),
    Cut(top_p=0.9),
    Cut(top_p=0.999),
    Cut(min_p=0.05),
    Cut(min_p=1.0),
    Cut(top_k=40, top_p=0.8),
    Cut(top_k=40, min_p=0.1),
    Cut(top_k=300, top_p=0.8),
    Cut(top_p=0.9, min_p=0.02),
    Cut(top_k=40, top_p=0.95, min_p=0.03),
]


def expected(scaled: torch.Tensor, cut: Cut) -> torch.Tensor:
    """Probabilities of one row as transformers has them."""
    warpers = LogitsProcessorList()
    if cut.top_k:
        warpers.append(TopKLogitsWarper(cut.top_k))
    if cut.top_p < 1:
        warpers.append(TopPLogitsWarper(cut.top_p))
    if cut.min_p:
        warpers.append(MinPLogitsWarper(cut.min_p))
    warped: torch.Tensor = warpers(None, scaled[None])  # type: ignore[arg-type]
    return warped[0].double().softmax(-1)


def frequencies(scaled: torch.Tensor, cut: Cut) -> torch.Tensor:
    """How often each token is drawn by numbers that are spread evenly."""
    rows = scaled.expand(COUNT, -1)
    return torch.bincount(torch.tensor(draw(rows, [cut] * COUNT, EVEN)), minlength=len(scaled))


@pytest.mark.parametrize("cut", ROADS, ids=str)
@pytest.mark.parametrize("width", [3, 200, 5000])
@pytest.mark.parametrize("spread", [0.5, 4.0])
def test_as_transformers(cut: Cut, width: int, spread: float) -> None:
    scaled = torch.randn(width, generator=torch.Generator().manual_seed(width)) * spread
    shares = expected(scaled, cut)
    found = frequencies(scaled, cut)
    assert not found[shares == 0].any()
    off = (found - shares * COUNT).abs()
    assert off.max() <= 1 + 1e-3, (int(off.argmax()), cut)


@pytest.mark.parametrize("cut", ROADS, ids=str)
def test_neighbours_change_nothing(cut: Cut) -> None:
    """Alone, and among rows of every other kind and order, the same number draws the same token."""
    numbers = torch.Generator().manual_seed(3)
    scaled = torch.randn(len(ROADS), 3000, generator=numbers) * 3
    mine = torch.randn(3000, generator=numbers) * 3
    points = [0.0, 0.1, 0.37, 0.5, 0.9, 1 - 2.0**-53]
    alone = [draw(mine[None], [cut], [point])[0] for point in points]
    for shift, (point, token) in enumerate(zip(points, alone, strict=True)):
        rows = torch.cat([scaled[:shift], mine[None], scaled[shift:]])
        cuts = [*ROADS[:shift], cut, *ROADS[shift:]]
        assert draw(rows, cuts, [point] * len(cuts))[shift] == token


@pytest.mark.parametrize("cut", [Cut(top_k=2), Cut(top_k=2, top_p=0.99)], ids=str)
@pytest.mark.parametrize("width", [6, 2000])
def test_equal_ones_at_the_edge_of_top_k_all_stay(cut: Cut, width: int) -> None:
    scaled = torch.full((width,), -5.0)
    scaled[:4] = torch.tensor([1.0, 0.0, 1.5, 0.0]) + 3
    scaled[3] = 4.0
    found = frequencies(scaled, cut)
    assert found.nonzero().flatten().tolist() == [0, 2, 3]
    assert found[0] == pytest.approx(int(found[3]), abs=1)


@pytest.mark.parametrize("width", [10, 1000])
def test_of_equal_ones_top_p_takes_the_first(width: int) -> None:
    found = frequencies(torch.zeros(width), Cut(top_p=0.3))
    assert found.nonzero().flatten().tolist() == list(range(int(0.3 * width)))


@pytest.mark.parametrize("cut", ROADS, ids=str)
@pytest.mark.parametrize("allowed", [1, 3])
def test_the_impossible_is_never_drawn(cut: Cut, allowed: int) -> None:
    """As with a grammar that leaves few tokens, fewer than top-k has."""
    scaled = torch.full((4000,), float("-inf"))
    places = torch.arange(allowed) * 1000 + 77
    scaled[places] = 0.1 * torch.arange(allowed).float()
    shares = expected(scaled, cut)
    found = frequencies(scaled, cut)
    assert set(found.nonzero().flatten().tolist()) <= set(places.tolist())
    assert (found - shares * COUNT).abs().max() <= 1 + 1e-3


def test_the_ends_of_the_unit_interval() -> None:
    scaled = torch.tensor([[float("-inf"), 1.0, 2.0, float("-inf")]])
    for cut, point in itertools.product(ROADS, [0.0, 1 - 2.0**-53]):
        assert draw(scaled, [cut], [point])[0] in (1, 2)


@pytest.mark.parametrize("width", [50, 1000, 4096, 10_001])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_largest(width: int, size: int) -> None:
    logits = torch.randn(5, width, generator=torch.Generator().manual_seed(size))
    values, tokens = largest(logits, size)
    best = logits.topk(min(size, width))
    assert torch.equal(values, best.values)
    assert torch.equal(tokens, best.indices)


def test_a_temperature_comes_first() -> None:
    """Division by a temperature and a cut give what transformers' chain of both gives."""
    logits = torch.randn(200, generator=torch.Generator().manual_seed(1)) * 3
    chain = LogitsProcessorList([TemperatureLogitsWarper(0.7), TopPLogitsWarper(0.9)])
    shares = chain(None, logits[None])[0].double().softmax(-1)  # type: ignore[arg-type]
    found = frequencies(logits / 0.7, Cut(top_p=0.9))
    assert (found - shares * COUNT).abs().max() <= 1 + 1e-3


@pytest.mark.parametrize(
    ("target", "place"), [(0.0, 1), (0.5, 1), (1.0, 3), (2.9, 3), (3.0, 3), (3.1, 3)]
)
def test_a_cumulative_distribution_is_inverted(target: float, place: int) -> None:
    """Never at a weight of 0, also where rounding has put the target at the end or behind it."""
    heights = torch.tensor([0.0, 1.0, 0.0, 2.0, 0.0], dtype=torch.float64).cumsum(0)[None]
    assert int(invert(heights, torch.tensor([[target]], dtype=torch.float64))) == place
