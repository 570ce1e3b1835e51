"""Which kernel is chosen for what was asked, the model and the machine, as a table."""

import subprocess
import sys
from dataclasses import replace

import pytest

from lepton_worker.backends.linears.choose import Asked, Facts, choose_linear, needs_timings
from lepton_worker.request import Task

PACKED = "float32-packed"
ALL = {"float16": "", "int8": "", "bfloat16": ""}
PACKABLE = {**ALL, PACKED: ""}
FLOAT32 = {1: 1.0, 4: 2.0, 16: 4.0}


def timings(kind: str, faster: float) -> dict[str, dict[int, float]]:
    return {
        "float32": FLOAT32,
        kind: {rows: seconds / faster for rows, seconds in FLOAT32.items()},
    }


def both(packed: float, half: float) -> dict[str, dict[int, float]]:
    return {**timings(PACKED, packed), **timings("float16", half)}


def three(packed: float, half: float, brain: float) -> dict[str, dict[int, float]]:
    return {**both(packed, half), **timings("bfloat16", brain)}


LARGE = Facts(
    weight_bytes=2**30,
    task=Task.GENERATE,
    device="cpu",
    dtype_of_checkpoint="float32",
    largest_weight_abs=3.0,
    operators_available=ALL,
)


LARGER = replace(LARGE, operators_available=PACKABLE)
STORED = replace(LARGER, dtype_of_checkpoint="bfloat16")


@pytest.mark.parametrize(
    ("asked", "facts", "kind", "words"),
    [
        ("auto", replace(LARGE, timings=timings("float16", 1.8)), "float16", "1.8 times as fast"),
        ("auto", replace(LARGE, timings=timings("float16", 1.02)), "none", "nothing is gained"),
        ("auto", replace(LARGE, timings=timings("float16", 0.5)), "none", "0.5 times as fast"),
        ("auto", replace(LARGE, task=Task.EMBED), "none", "encoder"),
        ("auto", replace(LARGE, task=Task.TAG), "none", "encoder"),
        ("auto", replace(LARGE, weight_bytes=64 * 2**20 - 1), "none", "64 MiB"),
        ("auto", replace(LARGE, device="cuda:0"), "none", "cuda:0"),
        ("auto", replace(LARGE, largest_weight_abs=65505.0), "none", "6.55e+04"),
        ("auto", replace(LARGE, largest_weight_abs=float("nan")), "none", "beyond"),
        ("auto", replace(LARGE, operators_available={"float16": "gone"}), "none", "for gone"),
        # A checkpoint in bfloat16 may be computed in it, any other may not.
        ("auto", replace(STORED, timings=three(1.5, 1.9, 2.5)), "bfloat16", "no weight is rounded"),
        ("auto", replace(LARGER, timings=three(1.5, 1.9, 2.5)), "float16", "1.9 times as fast"),
        ("none", replace(STORED, timings=three(1.5, 1.9, 2.5)), PACKED, "1.5 times as fast"),
        ("none", LARGE, "none", "asked for"),
        # float32 that is laid out once is still float32; rounding has to be worth more than that.
        ("none", replace(LARGER, timings=timings(PACKED, 1.5)), PACKED, "no weight is rounded"),
        ("none", replace(LARGER, timings=timings(PACKED, 1.0)), "none", "nothing is gained"),
        ("none", replace(LARGER, task=Task.EMBED), "none", "asked for"),
        ("auto", replace(LARGER, timings=both(1.5, 1.7)), PACKED, "1.5 times as fast"),
        ("auto", replace(LARGER, timings=both(1.5, 1.9)), "float16", "1.9 times as fast"),
        ("auto", replace(LARGER, timings=both(1.0, 1.3)), "float16", "1.3 times as fast"),
        ("auto", replace(LARGER, timings=both(1.0, 1.0)), "none", "nothing is gained"),
        ("auto", replace(LARGER, timings=timings(PACKED, 1.5)), PACKED, "1.5 times as fast"),
        # What is asked for is done, also where it is slower: it still takes less memory.
        ("float16", replace(LARGE, timings=timings("float16", 0.9)), "float16", "0.9 times"),
        ("float16", replace(LARGE, task=Task.EMBED), "float16", "asked for"),
        ("float16", replace(LARGE, largest_weight_abs=1e6), "none", "beyond"),
        ("int8", replace(LARGE, timings=timings("int8", 3.0)), "int8", "3.0 times as fast"),
        ("int8", replace(LARGE, largest_weight_abs=1e6), "int8", "asked for"),
        ("int8", replace(LARGE, operators_available={"int8": "gone"}), "none", "for gone"),
        ("bfloat16", replace(LARGE, timings=timings("bfloat16", 1.2)), "bfloat16", "1.2 times"),
        ("bfloat16", replace(LARGE, timings=timings("bfloat16", 0.1)), "none", "slow"),
    ],
)
def test_kind_and_reason(asked: Asked, facts: Facts, kind: str, words: str) -> None:
    choice = choose_linear(asked, facts)
    assert choice.kind == kind
    assert words in choice.reason


@pytest.mark.parametrize("kind", ["int8", "bfloat16"])
def test_auto_takes_no_kind_that_changes_results_more(kind: str) -> None:
    both = {**timings("float16", 1.5), kind: dict.fromkeys(FLOAT32, 1e-9)}
    assert choose_linear("auto", replace(LARGE, timings=both)).kind == "float16"


@pytest.mark.parametrize(
    ("asked", "facts", "needed"),
    [
        ("auto", LARGE, True),
        ("int8", LARGE, True),
        ("auto", replace(LARGE, task=Task.EMBED), False),
        ("auto", replace(LARGE, weight_bytes=1), False),
        ("none", LARGE, False),
        ("int8", replace(LARGE, device="cuda:0"), False),
    ],
)
def test_nothing_is_timed_where_the_answer_is_settled(
    asked: Asked, facts: Facts, needed: bool
) -> None:
    assert needs_timings(asked, facts) is needed


def test_reason_has_every_measured_ratio_and_says_what_is_rounded() -> None:
    measured = {"float32": FLOAT32, "float16": {1: 0.5, 4: 1.0, 16: 3.2}}
    facts = replace(LARGE, timings=measured)
    assert choose_linear("auto", facts).reason == (
        "float16 weights: 2.0 times as fast as float32 with 4 rows (2.0 with 1, 1.2 with 16); "
        "weights are rounded to float16"
    )
    stored = choose_linear("auto", replace(facts, dtype_of_checkpoint="float16"))
    assert stored.reason.endswith("no weight is rounded")


def test_the_decision_needs_no_torch() -> None:
    code = "import sys, lepton_worker.backends.linears.choose; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
