"""From records of requests to rates, percentiles and goodput."""

import pytest

from lepton_bench.engine.outcome import (
    CANCELLED,
    Record,
    by_processor,
    goodput,
    is_good,
    median,
    ratio,
    steady_rate,
    summary,
    tail,
)
from lepton_bench.engine.workload import Item


def record(
    marks: list[tuple[float, int]],
    *,
    intended: float = 10.0,
    sent: float = 10.0,
    outcome: str = "ok",
    new_tokens: int = 5,
) -> Record:
    end = marks[-1][0] if marks else sent
    return Record(Item("a", 7, new_tokens), intended, sent, marks, end, outcome)


def test_latency_counts_from_the_intended_start() -> None:
    late = record([(14.0, 1), (18.0, 4)], intended=10.0, sent=13.5)
    assert late.ttft == 4.0
    assert late.e2e == 8.0
    assert late.tpot == 1.0
    assert late.gaps == [4.0]


def test_one_token_has_no_pace() -> None:
    assert record([(11.0, 1)], new_tokens=1).tpot == 0.0


def test_an_answer_counts_as_asked_and_a_part_as_heard() -> None:
    assert record([(11.0, 1)]).tokens == 5  # a peer may send two tokens as one text
    assert record([(11.0, 1), (12.0, 2)], outcome=CANCELLED).tokens == 3
    assert record([(11.0, 9)], outcome="UNAVAILABLE").tokens == 5


def test_a_summary_tells_answers_from_errors_and_cancelled() -> None:
    records = [
        record([(11.0, 1), (12.0, 4)]),
        record([(11.5, 1)], outcome=CANCELLED),
        record([], outcome="RESOURCE_EXHAUSTED"),
    ]
    found = summary(records, seconds=2.0)
    assert (found.requests, found.answered, found.cancelled) == (3, 1, 1)
    assert found.errors == {"RESOURCE_EXHAUSTED": 1}
    assert found.prompt_tokens_s == 3.5  # only of whole answers
    assert found.new_tokens_s == 3.0
    assert (found.ttft_p50, found.tpot_p50, found.e2e_p99) == (1.0, 0.25, 2.0)


def test_a_summary_without_answers_has_no_latency() -> None:
    found = summary([record([], outcome="UNAVAILABLE")], seconds=1.0)
    assert (found.ttft_p99, found.gap_p99, found.e2e_p99) == (None, None, None)


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        (record([(10.9, 1), (11.3, 4)]), True),
        (record([(11.1, 1), (11.2, 4)]), False),  # begins late
        (record([(10.5, 1), (11.4, 4)]), False),  # slower than twice the own pace
        (record([(10.5, 1), (10.6, 4)], outcome=CANCELLED), False),
        (record([], outcome="UNAVAILABLE"), False),
    ],
)
def test_good_answers(answer: Record, good: bool) -> None:
    assert is_good(answer, own_tpot=0.1) is good


def test_goodput_is_good_answers_a_second() -> None:
    records = [record([(10.9, 1), (11.3, 4)]), record([(13.0, 5)])]
    assert goodput(records, own_tpot=0.1, seconds=4.0) == 0.25


def test_a_steady_rate_leaves_out_the_end_when_callers_run_dry() -> None:
    def asked(sent: float, end: float) -> Record:
        return record([(end, 5)], sent=sent)

    records = [asked(0, 2), asked(0, 3), asked(2, 4), asked(3, 5), asked(4, 50)]
    assert steady_rate(records) == 3 / 4
    assert steady_rate(records[:1]) is None


def test_a_tail_counts_who_waited_in_vain() -> None:
    answered = record([(11.0, 1), (12.0, 4)])
    lost = record([], outcome="unfinished")
    lost.end = 40.0
    assert tail([answered, lost], 0.99) == 30.0
    assert tail([answered], 0.99, first=True) == 1.0
    assert tail([lost], 0.99, first=True) == 30.0
    assert tail([], 0.99) is None


def test_medians_and_ratios_of_what_was_measured() -> None:
    assert median([3.0, None, 1.0]) == 2.0
    assert median([None]) is None
    assert ratio(3.0, 2.0) == 1.5
    assert ratio(None, 2.0) is None
    assert ratio(1.0, 0.0) is None
    assert by_processor(1.0, 3.0) == "; by processor time 0.333"
    assert by_processor(None, 3.0) == ""
