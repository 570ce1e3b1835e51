"""What a step may compute, and what it turned out to have computed."""

from dataclasses import replace
from pathlib import Path

import pytest

from lepton_worker.backends.base import LoadOrder, Progress
from lepton_worker.backends.echo import EchoBackend
from lepton_worker.engine.budget import ALL_TOKENS, PREFILL_TOKENS, happened, limits_of
from lepton_worker.errors import InternalError, RequestError
from lepton_worker.request import Caller, Task
from lepton_worker.scheduler.entries import Share, TextEntry

MODEL = EchoBackend().load(LoadOrder(Path(), Task.GENERATE, slots=3, step_tokens=1000))


def entry(prompt: int) -> TextEntry:
    return TextEntry(Caller(), 0.0, None, prompt, 8, None)


def test_limits() -> None:
    planned = limits_of(replace(MODEL, cache_tokens=70))
    assert (planned.slots, planned.step_tokens, planned.cache_tokens) == (3, 1000, 70)
    assert planned.prefill_tokens == PREFILL_TOKENS
    assert limits_of(replace(MODEL, step_tokens=40)).prefill_tokens == 40
    left = limits_of(replace(MODEL, cache_tokens=70, schedules=True))
    assert (left.step_tokens, left.prefill_tokens) == (ALL_TOKENS, ALL_TOKENS)
    assert left.cache_tokens == 70


@pytest.mark.parametrize(
    ("outcomes", "counts", "prefill", "decode"),
    [
        ([Progress(1), Progress(2)], [1, 50], 50, 1),
        ([Progress(1, computed=1), Progress(None, computed=20)], [1, 20], 20, 1),
        ([Progress(None, computed=0), Progress(None, computed=0)], [0, 0], 0, 0),
        ([InternalError("no"), Progress(2, computed=0)], [1, 0], 0, 1),
    ],
)
def test_what_happened(
    outcomes: list[Progress | RequestError], counts: list[int], prefill: int, decode: int
) -> None:
    share = Share([(entry(5), 1), (entry(50), 50)], [], prefill=50, decode=1)
    found = happened(share, outcomes)
    assert [count for _, count in found.spans] == counts
    assert [item for item, _ in found.spans] == [item for item, _ in share.spans]
    assert (found.prefill, found.decode) == (prefill, decode)
