"""Tracing without a collector."""

import logging

import pytest

from lepton_worker.serving import tracing
from lepton_worker.serving.tracing import TOLD_SECONDS, NowAndThen, open_tracing

TRACE = "0af7651916cd43dd8448eb211c80319c"
SENT = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


def line(level: int) -> logging.LogRecord:
    return logging.LogRecord("exporter", level, __file__, 1, "it is away", (), None)


def test_a_collector_that_is_away_is_told_of_now_and_then() -> None:
    now = 100.0
    words = NowAndThen(lambda: now)
    assert [words.filter(line(level)) for level in (logging.WARNING, logging.ERROR)] == [
        False,
        True,
    ]
    now += TOLD_SECONDS - 1
    assert not words.filter(line(logging.ERROR))
    now += 1
    assert words.filter(line(logging.ERROR))


def test_nothing_is_opened_unless_it_is_wanted() -> None:
    assert open_tracing(False, False, "here") is None


@pytest.mark.parametrize("method", ["/lepton.v1.Text/Embed", "/lepton.v1.Control/GetLoad"])
def test_without_tracing_a_call_keeps_its_callers_trace(method: str) -> None:
    assert tracing.begin(method, SENT) == (None, TRACE)
    assert tracing.begin(method, {}) == (None, "")
