"""Tokens that a text gets from a step beyond the one that it was given a share for."""

import pytest

from lepton_worker.request import Caller
from lepton_worker.scheduler.costs import Costs
from lepton_worker.scheduler.entries import Limits, Share, TextEntry
from lepton_worker.scheduler.fairness import OUTPUT_WEIGHT
from lepton_worker.scheduler.planner import Planner

LIMITS = Limits(slots=2, step_tokens=64, prefill_tokens=64, cache_tokens=0)


def test_they_are_charged_to_the_tenant() -> None:
    planner = Planner(LIMITS, Costs())
    texts = [TextEntry(Caller(name), 0.0, None, 4, 50, None) for name in ("quick", "slow")]
    for text in texts:
        planner.add(text)
    planner.seat(0.0)
    fairness = planner._band(texts[0]).fairness
    before = dict(fairness._counters)
    for entry, count in planner.share(0.0).spans:
        entry.computed += count
        entry.length += 1
    planner.wrote_further(texts[0], 5)
    charged = {name: fairness._counters[name] - before[name] for name in before}
    assert charged == {"quick": 6 * OUTPUT_WEIGHT, "slow": OUTPUT_WEIGHT}


def test_they_count_in_the_rates() -> None:
    rates = []
    for further in (0, 3):
        costs = Costs()
        planner = Planner(LIMITS, costs)
        for step in range(1, 41):
            share = Share([], [], prefill=0, decode=step % 3 + 1)
            planner.stepped(share, 0.1 * (share.decode + further), further)
        assert costs.rate is not None
        rates.append(costs.rate)
    # Ten tokens a second either way: the further ones are part of what the step was worth.
    assert rates == pytest.approx([10.0, 10.0])
