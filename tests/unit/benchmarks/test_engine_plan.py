"""What a run is going to do, and what its mixes ask."""

import random

import pytest

from lepton_bench import page
from lepton_bench.engine.options import parse
from lepton_bench.engine.parts.decode import backwards
from lepton_bench.engine.parts.exact import MODES, passed
from lepton_bench.engine.parts.mixes import LONG_NEW, SHORT_NEW, short_and_long, with_system
from lepton_bench.engine.plan import ALONE, RUNS, planned, table
from lepton_bench.engine.workload import Item, Writer


def writer() -> Writer:
    return Writer(["ba", "be", "bi"], lambda text: 1, 1)


def test_the_quick_run_is_planned_within_its_time() -> None:
    options = parse(["--quick"])
    steps = planned(options)
    assert tuple(step.part for step in steps) == options.parts
    assert sum(step.seconds for step in steps) <= 40 * 60
    text = table(steps, options.rounds)
    assert "llama-cpp" in text
    assert "1 round of each" in text


def test_a_plan_knows_who_takes_part() -> None:
    options = parse(["--ours", "float32", "float16", "--peers", "mlserver"])
    steps = {step.part: step for step in planned(options)}
    assert steps["encode"].contestants == ("lepton-float32", "lepton-float16", "mlserver")
    assert steps["load"].contestants == ("lepton-float16",)
    assert steps["gpu"].seconds == 0
    assert {*RUNS, *ALONE} == set(steps)


@pytest.mark.parametrize("longer", [["--quick", "--rounds", "2"], []])
def test_more_rounds_take_longer(longer: list[str]) -> None:
    short = sum(step.seconds for step in planned(parse(["--quick"])))
    assert sum(step.seconds for step in planned(parse(longer))) > short


def test_a_system_prompt_is_the_beginning_of_all() -> None:
    first, *others = with_system(writer(), 5, seed=1)
    start = first.text[:1000]
    assert len(others) == 4
    assert all(item.text.startswith(start) and item.text != first.text for item in others)
    assert all(512 < item.prompt_tokens <= 512 + 32 for item in others)


def test_a_fifth_of_the_mix_is_long() -> None:
    items = short_and_long(writer(), 20, seed=1)
    long = [item for item in items if item.new_tokens == LONG_NEW]
    assert len(long) == 4
    assert all(item.prompt_tokens >= 512 for item in long)
    assert sum(item.new_tokens == SHORT_NEW for item in items) == 16


def test_a_prompt_backwards_has_the_same_words() -> None:
    words = random.Random(1).choices("abcdef", k=9)
    assert backwards(Item(" ".join(words), 9, 3)).text.split() == words[::-1]


CASE = '<testcase name="{name}">{inner}</testcase>'


def test_families_all_of_whose_tests_pass_are_exact() -> None:
    tests = [f"test_{number}" for number in range(MODES)]
    cases = [
        *(CASE.format(name=f"{test}[Good-1]", inner="") for test in tests),
        *(CASE.format(name=f"{test}[2-Bad]", inner="") for test in tests[1:]),
        CASE.format(name=f"{tests[0]}[Bad]", inner="<failure>x</failure>"),
        CASE.format(name="test_0[Refused]", inner=""),
        CASE.format(name="test_9", inner=""),
    ]
    assert passed(f"<testsuite>{''.join(cases)}</testsuite>") == {"Good": True, "Bad": False}
    assert passed("") == {}


def test_an_aim_without_a_figure_is_on_the_page() -> None:
    part = {"rounds": 1, "when": "2026-01-02T03:04:05", "load_before": 0.1, "missing": {"x": "why"}}
    suite = {
        "suite": "engine",
        "when": "2026-01-02",
        "command": "c",
        "machine": dict.fromkeys(("cores", "cpu", "memory_gib", "kernel", "load_before"), 1),
        "versions": {},
        "parts": {"decode": part},
        "figures": [],
    }
    text = page.render([suite])
    assert "| `engine.gpu_vs_vllm` | not measured | ≥ 0.9 |  |  | no run of this part yet |" in text
    assert "decode: one round, 2026-01-02 03:04, load before it 0.1. Missing: x (why)." in text
    assert "road." not in text
