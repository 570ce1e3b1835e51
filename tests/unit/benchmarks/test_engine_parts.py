"""Which contestants and kinds of weights take part, and how their figures are put."""

import math

import pytest

from lepton_bench.engine.context import ours_of
from lepton_bench.engine.http_target import event_text
from lepton_bench.engine.models import SHAPES
from lepton_bench.engine.options import PARTS, QUICK_PEERS, parse
from lepton_bench.engine.order import Cores, alternating, split
from lepton_bench.engine.outcome import Record, summary
from lepton_bench.engine.parts.encode import best_of, furthest
from lepton_bench.engine.parts.open_load import Point, kept, tokens_within
from lepton_bench.engine.parts.overhead import step_seconds
from lepton_bench.engine.peers.line_loop import sorted_batches
from lepton_bench.engine.proc import Stat, peak_kib, read_stat
from lepton_bench.engine.suite import MEASURES
from lepton_bench.engine.target import Refused
from lepton_bench.engine.worker_help import offered_by
from lepton_bench.engine.workload import Item


def test_rounds_alternate() -> None:
    assert alternating(["a", "b"], 3) == [["a", "b"], ["b", "a"], ["a", "b"]]


@pytest.mark.parametrize(
    ("cores", "threads", "expected"),
    [
        ([0], None, Cores((0,), (0,))),
        ([1, 0], None, Cores((0,), (1,))),
        ([0, 1, 2, 3], None, Cores((0, 1, 2), (3,))),
        ([0, 1, 2, 3], 1, Cores((0,), (1, 2, 3))),
        ([0, 1], 8, Cores((0,), (1,))),
    ],
)
def test_the_caller_keeps_a_core(cores: list[int], threads: int | None, expected: Cores) -> None:
    assert split(cores, threads) == expected


def test_batches_are_of_like_length_within_the_budget() -> None:
    lengths = [5, 100, 6, 90, 4]
    batches = list(sorted_batches(lengths, budget=200))
    assert sorted(place for batch in batches for place in batch) == [0, 1, 2, 3, 4]
    assert batches == [[4, 0, 2], [3, 1]]
    assert list(sorted_batches([500], budget=10)) == [[0]]


def test_a_line_of_the_process_table_is_read_behind_the_command() -> None:
    fields = "S 1 10 42 0 -1 0 0 0 0 0 7 3 2 1 20 0"
    assert read_stat(f"99 (odd) name) {fields}") == Stat(parent=1, session=42, state="S", ticks=13)


def test_peak_memory_of_the_living_and_the_ended() -> None:
    assert peak_kib("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t 1 kB\n") == 2048
    assert peak_kib("Name:\tx\n") == 0


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'data: {"choices": [{"text": "ab"}]}\n', "ab"),
        (b'data: {"choices": [{"text": ""}], "usage": {}}\n', ""),
        (b'data: {"choices": [{"finish_reason": "length"}]}\n', ""),
        (b"data: [DONE]\n", ""),
        (b"\n", ""),
        (b": comment\n", ""),
    ],
)
def test_events_of_a_stream(line: bytes, text: str) -> None:
    assert event_text(line) == text


def test_an_error_in_a_stream_is_a_refusal() -> None:
    with pytest.raises(Refused):
        event_text(b'data: {"error": "gone"}\n')


def test_step_time_is_found_in_metrics() -> None:
    metrics = (
        "# HELP lepton_step_duration_seconds x\n"
        'lepton_step_duration_seconds_sum{kind="decode",model="m"} 1.5\n'
        'lepton_step_duration_seconds_sum{kind="prefill",model="m"} 2\n'
        'lepton_request_duration_seconds_sum{model="m"} 9\n'
    )
    assert step_seconds(metrics) == 3.5
    assert step_seconds("lepton_requests_total 1\n") is None


def test_the_furthest_difference() -> None:
    assert furthest([1.0, 2.0], [1.5, 2.1]) == 0.5
    assert furthest([1.0], [1.0, 2.0]) == math.inf


def test_the_best_of_those_that_took_part() -> None:
    assert best_of(["a", "b", "c"], {"a": 1.0, "b": 3.0, "x": 9.0}) == "b"
    assert best_of(["a"], {}) is None
    assert ours_of(["lepton-int8", "lepton-float32"]) == "lepton-float32"
    assert ours_of([]) is None


def test_goodput_kept_at_overload_is_over_the_peak() -> None:
    def point(share: float, good: float) -> Point:
        return Point(share, share, good, 0.0, summary([], 1.0))

    assert kept([[point(2.0, 3.0), point(0.9, 4.0)], [point(0.9, 2.0), point(2.0, 2.0)]]) == 0.875
    assert kept([[point(2.0, 0.0)]]) is None


def test_weights_of_known_shapes() -> None:
    assert SHAPES["e1"].matrix_weights == 12 * 12 * 768 * 768
    d1 = SHAPES["d1"]
    assert d1.matrix_weights + 2 * d1.head_weights == pytest.approx(125e6, rel=0.02)
    assert d1.cache_bytes(10) == 2 * 12 * 256 * 10 * 4
    assert SHAPES["e1"].head_weights == 0


def test_tokens_behind_the_arrivals_are_not_counted() -> None:
    item = Item("a", 1, 4)
    records = [
        Record(item, 10.0, marks=[(11.0, 1), (14.9, 2), (15.1, 1)]),
        Record(item, 12.0, marks=[(15.0, 3)]),
        Record(item, 13.0),
    ]
    assert tokens_within(records, 5.0) == 3


def test_options_have_quick_and_full_sizes() -> None:
    full, quick = parse([]), parse(["--quick", "--only", "cold", "limits", "--peers"])
    assert full.parts == PARTS
    assert quick.parts == ("limits", "cold")  # in the order in which they run
    assert (full.rounds, quick.rounds) == (4, 1)
    assert (full.peers, quick.peers) == (None, ())
    assert parse(["--quick"]).peers == QUICK_PEERS
    assert (quick.trial, parse(["--trial"]).trial) == (False, True)
    assert quick.sizes.open_seconds < full.sizes.open_seconds
    assert parse(["--large"]).sizes.decoder == "d2"
    assert parse(["--worker", "a --b c"]).worker == ("a", "--b", "c")


def test_every_part_can_be_run() -> None:
    assert tuple(MEASURES) == PARTS


HELP = """
usage: lepton-worker [-h] [--dtype X] [--quantization X] [--threads X]

  --dtype X             one of auto, float32 (default: auto) [LEPTON_DTYPE]
  --quantization X      of weights: auto, none,
                        float16, int8 (default: auto) [LEPTON_QUANTIZATION]
  --threads X           bfloat16 [LEPTON_THREADS]
"""


def test_the_help_of_a_worker_tells_how_it_can_hold_weights() -> None:
    assert offered_by(HELP) == {"auto", "none", "float16", "int8"}
    assert offered_by(HELP.replace("quantization", "other")) == frozenset()
