"""Which tokens can be drawn, with which weight, and from whose random numbers."""

import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from lepton_worker.backends.transformers.sampler import choose, distribution, generator
from lepton_worker.request import Sampling

pytestmark = pytest.mark.component

LOGITS = torch.tensor([0.5, 0.2, 0.2, 0.1]).log()


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({}, [0.5, 0.2, 0.2, 0.1]),
        ({"temperature": 0.5}, [0.25 / 0.34, 0.04 / 0.34, 0.04 / 0.34, 0.01 / 0.34]),
        ({"top_k": 1}, [1, 0, 0, 0]),
        ({"top_k": 9}, [0.5, 0.2, 0.2, 0.1]),
        # Both of the equal ones stay: there is no reason to prefer either.
        ({"top_k": 2}, [5 / 9, 2 / 9, 2 / 9, 0]),
        ({"top_p": 0.5}, [1, 0, 0, 0]),
        ({"top_p": 0.6}, [5 / 7, 2 / 7, 0, 0]),
        ({"top_p": 0.95}, [0.5, 0.2, 0.2, 0.1]),
        ({"top_p": 1e-9}, [1, 0, 0, 0]),
        ({"top_k": 3, "top_p": 0.6}, [5 / 7, 2 / 7, 0, 0]),
    ],
    ids=str,
)
def test_weights(options: dict[str, float], weights: list[float]) -> None:
    found = distribution(LOGITS, Sampling(1, **{"temperature": 1.0, **options}))  # type: ignore[arg-type]
    assert (found / found.sum()).tolist() == pytest.approx(weights, abs=1e-6)


def test_the_same_tokens_stay_as_with_transformers() -> None:
    numbers = torch.Generator().manual_seed(5)
    for _ in range(50):
        logits = torch.randn(200, generator=numbers) * 3
        scores = logits[None]
        for warp in (TemperatureLogitsWarper(0.7), TopKLogitsWarper(40), TopPLogitsWarper(0.9)):
            scores = warp(None, scores)
        expected = scores[0].softmax(-1)
        found = distribution(logits, Sampling(1, temperature=0.7, top_k=40, top_p=0.9))
        assert torch.allclose((found / found.sum()).float(), expected, atol=1e-6)


def test_greedy_takes_the_first_of_the_most_probable() -> None:
    assert choose(torch.tensor([1.0, 3.0, 3.0]), Sampling(1), generator(None)) == 1


def test_a_seed_fixes_the_draws_and_no_seed_does_not() -> None:
    sampling = Sampling(1, temperature=1.0)
    logits = torch.zeros(1000)

    def draws(seed: int | None) -> list[int]:
        numbers = generator(seed)
        torch.rand(3)  # what others draw makes no difference
        return [choose(logits, sampling, numbers) for _ in range(8)]

    assert draws(3) == draws(3) != draws(4)
    assert draws(2**64 - 1) == draws(2**64 - 1)
    assert draws(None) != draws(None)


def test_draws_follow_the_weights() -> None:
    sampling, numbers = Sampling(1, temperature=1.0, top_p=0.6), generator(1)
    drawn = [choose(LOGITS, sampling, numbers) for _ in range(4000)]
    assert drawn.count(0) / len(drawn) == pytest.approx(5 / 7, abs=0.03)
    assert set(drawn) == {0, 1}
