"""One step at a time, beside a quiet tenant."""

import pytest

from lepton_worker.request import Caller
from lepton_worker.scheduler.costs import Costs, Rates
from lepton_worker.scheduler.entries import Entry, Limits, ListEntry, Share, TextEntry
from lepton_worker.scheduler.planner import Planner
from lepton_worker.scheduler.steps import HELD


class Known(Costs):
    """On this machine, all is known from the beginning."""

    def __init__(self, rates: Rates | None) -> None:
        super().__init__()
        self._known = rates

    def rates(self) -> Rates | None:
        return self._known


CPU = Rates(overhead=30, prefill=1, decode=3)
GPU = Rates(overhead=30, prefill=0, decode=0)


def a_text(tenant: str, prompt: int = 1, priority: int = 0, at: float = 0) -> TextEntry:
    return TextEntry(Caller(tenant, priority), at, None, prompt, 100, tenant)


def a_list(tenant: str, *lengths: int) -> ListEntry:
    return ListEntry(Caller(tenant), 0, None, lengths, tenant)


def a_planner(
    *entries: Entry, factor: float = 2, rates: Rates | None = CPU, slots: int = 16
) -> Planner:
    planner = Planner(Limits(slots, 512, 256, 0, factor), Known(rates))
    for entry in entries:
        planner.add(entry)
    return planner


def run(planner: Planner, now: float = 0) -> Share:
    planner.seat(now)
    share = planner.share(now)
    for entry, count in share.spans:
        entry.computed += count
        entry.length += entry.computed == entry.length
    return share


def of(share: Share, tenant: str) -> list[int]:
    """Tokens of a tenant's texts and inputs in a step."""
    texts = [count for entry, count in share.spans if entry.caller.tenant == tenant]
    inputs = [
        entry.lengths[place]
        for entry, places in share.inputs
        for place in places
        if entry.caller.tenant == tenant
    ]
    return texts + inputs


@pytest.mark.parametrize(
    ("factor", "rates", "turns"),
    [
        (2, CPU, 11),  # 33 alone, and 33 for the others
        (1.5, CPU, 5),
        (1, CPU, 0),
        (0, CPU, 15),
        (2, GPU, 15),
        (2, None, 15),  # not known yet
    ],
)
def test_a_step_lasts_only_so_many_times_as_long(
    factor: float, rates: Rates | None, turns: int
) -> None:
    loud = [a_text("l") for _ in range(15)]
    share = run(a_planner(a_text("q"), *loud, factor=factor, rates=rates))
    assert of(share, "q") == [1]
    assert of(share, "l") == [1] * turns


def test_the_others_take_turns() -> None:
    loud = [a_text("l") for _ in range(15)]
    planner = a_planner(a_text("q"), *loud)
    shares = [run(planner) for _ in range(15)]
    assert {len(of(share, "l")) for share in shares} == {11}
    assert {entry.generated for entry in loud} == {11}


def test_what_is_too_little_for_anything_is_saved() -> None:
    planner = a_planner(a_text("q"), *[a_text("l") for _ in range(15)], factor=1.05)
    planner._neighbours.served("l", 1000)
    found = [len(of(run(planner), "l")) for _ in range(6)]
    assert found == [0, 1, 0, 1, 0, 1]  # 1.65 a step, and a token takes 3


def test_the_others_get_something_however_little_time_there_is() -> None:
    planner = a_planner(a_text("q"), a_text("l", 500), a_text("l"), factor=1)
    planner._neighbours.served("l", 1000)
    found = [of(run(planner), "l") for _ in range(2 * HELD + 2)]
    assert [sum(counts) for counts in found] == [*[0] * HELD, 16, *[0] * HELD, 1]


def test_prompts_make_a_step_only_so_long() -> None:
    quick = Rates(overhead=0.01, prefill=0.001, decode=0.005)
    slow = Rates(overhead=0.3, prefill=0.02, decode=0.01)

    def read(rates: Rates | None, *others: str) -> int:
        planner = a_planner(*(a_text(tenant) for tenant in others), rates=rates, factor=0)
        planner.add(a_text("a", 500))
        return sum(count for entry, count in run(planner).spans if entry.prompt > 1)

    assert read(None, "a") == 256
    assert read(quick, "a") == 185  # 15 ms, and 185 up to 200
    assert read(quick) == 190
    assert read(slow, "a") == 30  # 0.31 s without any, and twice as much for them


def test_prompts_of_the_others_get_shorter_and_those_of_the_quiet_do_not() -> None:
    planner = a_planner(a_text("q"), a_text("l", 1000), a_text("l", 1000))
    assert [of(run(planner), "l") for _ in range(2)] == [[33], [33]]
    planner = a_planner(a_text("q", 1000), a_text("l", 1000), a_text("l"))
    share = run(planner)  # 66 fit into the time where anybody goes on, of which 16 are kept
    assert of(share, "q") == [50]
    assert of(share, "l") == [16, 1]


def test_what_a_newcomer_found_running_is_made_up_for() -> None:
    loud = [a_text("l") for _ in range(15)]
    planner = a_planner(*loud)
    planner.stepped(run(planner, now=100), 75)
    planner.add(a_text("q", at=150))
    steps = [len(of(run(planner, now=175), "l")) for _ in range(3)]
    assert steps == [2, 11, 11]  # 33 - 25 are left of the first


@pytest.mark.parametrize(("quiet", "loud", "turns"), [(0, 0, 11), (0, 5, 11), (5, 0, 15)])
def test_a_better_class_never_stands_back(quiet: int, loud: int, turns: int) -> None:
    texts = [a_text("l", priority=loud) for _ in range(15)]
    share = run(a_planner(a_text("q", priority=quiet), *texts))
    assert len(of(share, "l")) == turns


def test_alone_and_among_equals_nothing_changes() -> None:
    for tenants in (["l"] * 16, ["q", "l"] * 8):
        shares = [
            run(a_planner(*(a_text(tenant) for tenant in tenants), factor=factor))
            for factor in (0, 1, 2)
        ]
        assert {share.decode for share in shares} == {16}


def test_inputs_of_the_others_fill_what_is_left_of_the_time() -> None:
    planner = a_planner(a_list("q", 40), a_list("l", *[10] * 100))
    share = run(planner)
    assert of(share, "q") == [40]
    assert sum(of(share, "l")) == 70  # 30 + 40 alone
    assert sum(of(run(planner), "l")) == 510


def test_long_inputs_of_the_others_have_their_turn_after_some_steps() -> None:
    planner = a_planner(a_list("q", *[40] * 1000), a_list("l", *[400] * 100), slots=1)
    planner._neighbours._most_tokens = 10**9  # q never asks for as much
    sums = [sum(of(run(planner), "l")) for _ in range(2 * HELD + 2)]
    assert max(sums) == 400
    assert sums[HELD + 1 :].count(0) <= HELD
