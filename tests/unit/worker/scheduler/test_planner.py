"""One round of the planner at a time."""

import pytest

from lepton_worker.errors import ContextLengthExceeded, InvalidRequest
from lepton_worker.request import Caller
from lepton_worker.scheduler.costs import Costs, Work
from lepton_worker.scheduler.entries import Entry, Limits, ListEntry, Share, TextEntry
from lepton_worker.scheduler.planner import CLASSES, Planner

LIMITS = Limits(slots=4, step_tokens=256, prefill_tokens=64, cache_tokens=0)


def a_text(
    prompt: int, priority: int = 0, tenant: str = "", deadline: float | None = None, at: float = 0
) -> TextEntry:
    return TextEntry(Caller(tenant, priority), at, deadline, prompt, 100, None)


def a_list(*lengths: int, priority: int = 0, tenant: str = "", at: float = 0) -> ListEntry:
    return ListEntry(Caller(tenant, priority), at, None, lengths, None)


def planner_with(*entries: Entry, limits: Limits = LIMITS) -> Planner:
    planner = Planner(limits, Costs())
    for entry in entries:
        planner.add(entry)
    return planner


def plan(planner: Planner, now: float = 0) -> Share:
    planner.seat(now)
    return planner.share(now)


def run(planner: Planner, now: float = 0) -> Share:
    """A round in which every text that can gets its next token."""
    share = plan(planner, now)
    for entry, count in share.spans:
        entry.computed += count
        if entry.computed == entry.length:
            entry.length += 1
    return share


def counts(share: Share) -> list[int]:
    return [count for _, count in share.spans]


def test_a_prompt_alone_has_the_whole_step_and_then_next_tokens() -> None:
    planner = planner_with(a_text(300))
    shares = [run(planner) for _ in range(4)]
    assert [counts(share) for share in shares] == [[256], [44], [1], [1]]
    assert [(share.prefill, share.decode) for share in shares] == [
        (256, 0),
        (44, 0),
        (0, 1),
        (0, 1),
    ]


def test_while_a_text_goes_on_prompts_have_less() -> None:
    first = a_text(10)
    planner = planner_with(first)
    run(planner)
    planner.add(a_text(300))
    share = run(planner)
    assert counts(share) == [1, 64]
    assert share.spans[0][0] is first
    assert (share.prefill, share.decode) == (64, 1)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(4, 256, 64, 0), 64),
        (Limits(4, 40, 64, 0), 39),
        (Limits(4, 10, 64, 0), 10),  # never nothing
        (Limits(4, 256, 8, 0), 8),
    ],
)
def test_prompts_go_on_however_small_the_step(limits: Limits, expected: int) -> None:
    planner = planner_with(a_text(1), limits=limits)
    run(planner)
    planner.add(a_text(300))
    assert counts(run(planner)) == [1, expected]


def test_the_last_token_of_a_prompt_is_a_next_token() -> None:
    entry = a_text(50)
    planner = planner_with(entry)
    planner.seat(0)
    entry.computed = 49  # found in the cache
    share = planner.share(0)
    assert (share.spans, share.decode) == ([(entry, 1)], 1)


def test_a_text_with_nothing_left_is_not_planned() -> None:
    entry = a_text(50)
    planner = planner_with(entry)
    planner.seat(0)
    entry.computed = 50
    assert not planner.share(0)


def test_prompts_and_lists_take_turns_at_the_step() -> None:
    planner = planner_with(a_text(1000), a_list(*[64] * 100))
    shares = [run(planner) for _ in range(4)]
    kinds = [(bool(share.spans), bool(share.inputs)) for share in shares]
    assert kinds == [(False, True), (True, False)] * 2


@pytest.mark.parametrize(("text", "listed"), [(0, 5), (5, 0)])
def test_the_better_class_has_the_step_first(text: int, listed: int) -> None:
    planner = planner_with(a_text(1000, priority=text), a_list(*[64] * 100, priority=listed))
    for _ in range(3):
        share = run(planner)
        assert (bool(share.spans), bool(share.inputs)) == (text < listed, listed < text)


def test_what_the_first_does_not_need_goes_to_the_other() -> None:
    planner = planner_with(a_text(100), a_list(100, 100))
    share = run(planner)
    assert (counts(share), [places for _, places in share.inputs]) == ([56], [[0, 1]])
    assert share.prefill == 256


def test_an_input_longer_than_the_step_goes_alone() -> None:
    planner = planner_with(a_list(1000, 5, 5))
    assert [[places for _, places in run(planner).inputs] for _ in range(2)] == [[[0]], [[1, 2]]]
    assert not run(planner)


def test_what_is_in_hand_is_counted() -> None:
    text, later, listed = a_text(20), a_text(30), a_list(200, 100)
    planner = planner_with(text, later, listed, limits=Limits(1, 256, 256, 0))
    assert (planner.waiting, planner.running) == (3, 0)
    assert planner.waiting_tokens == 20 + 30 + 300 + 200
    run(planner)
    assert (planner.waiting, planner.running) == (1, 2)
    assert planner.waiting_tokens == 30 + 100 + 100
    assert (planner.cache_used, planner.cache_reserved) == (20, 120)
    for entry in (text, later, listed, text):
        planner.remove(entry)
    assert (planner.waiting, planner.running, planner.waiting_tokens) == (0, 0, 0)
    assert (planner.cache_used, planner.cache_reserved) == (0, 0)


def test_who_is_late_leaves_from_wherever_it_is() -> None:
    runs, waits = a_text(10, deadline=5), a_text(10, deadline=6)
    planner = planner_with(runs, waits, a_text(10), limits=Limits(1, 256, 64, 0))
    run(planner)
    assert planner.expire(4.9) == []
    assert planner.expire(6) == [runs, waits]
    assert runs not in planner
    assert (planner.waiting, planner.running) == (1, 0)
    assert len(planner.seat(6).begin) == 1


def test_after_an_eviction_the_worse_classes_have_their_turn_in_the_next_round() -> None:
    planner = planner_with(a_text(50, priority=1), limits=Limits(4, 256, 64, 320))
    run(planner)
    planner.add(a_text(100))
    planner.add(a_text(15, priority=1))  # fits beside it, where the evicted one does not
    seating = planner.seat(0)
    assert ([e.prompt for e in seating.evict], [e.prompt for e in seating.begin]) == ([50], [100])
    assert [e.prompt for e in planner.seat(0).begin] == [15]


def test_what_cannot_be_done_is_not_taken() -> None:
    planner = Planner(Limits(1, 256, 64, 100), Costs())
    with pytest.raises(ContextLengthExceeded):
        planner.add(a_text(1))
    with pytest.raises(InvalidRequest):
        planner.add(a_list())
    assert planner.waiting == 0


def order_of_service(first: TextEntry, cached: int) -> str:
    """Whose text is next after one of a (100 tokens) and one of b (30) have begun."""
    planner = Planner(Limits(2, 256, 64, 0), Costs())
    other = a_text(30, tenant="b")
    for entry in (first, other, a_text(5, tenant="a"), a_text(5, tenant="b")):
        planner.add(entry)
    planner.seat(0)
    first.computed = cached
    planner.share(0)
    planner.remove(first)
    planner.remove(other)
    return planner.seat(0).begin[0].caller.tenant


@pytest.mark.parametrize(("cached", "expected"), [(0, "b"), (60, "b"), (90, "a")])
def test_what_was_cached_is_not_paid_for(cached: int, expected: str) -> None:
    assert order_of_service(a_text(100, tenant="a"), cached) == expected


def test_next_tokens_are_paid_for_twofold() -> None:
    planner = Planner(Limits(2, 256, 64, 0, neighbour_factor=0), Costs())
    chatty, brief = a_text(10, tenant="a"), a_text(15, tenant="b")
    for entry in (chatty, brief, a_text(5, tenant="a"), a_text(5, tenant="b")):
        planner.add(entry)
    run(planner)
    planner.remove(brief)  # b: 15 and one next token
    assert [entry.caller.tenant for entry in planner.seat(0).begin] == ["a"]
    run(planner)
    planner.remove(chatty)  # a: 10, 5 and three next tokens
    assert [entry.caller.tenant for entry in planner.seat(0).begin] == ["b"]


def test_the_report_says_what_is_left_and_how_long_was_waited() -> None:
    costs = Costs()
    for length in (10, 20, 30, 40):
        costs.finished(length)
    planner = Planner(Limits(1, 256, 64, 0), costs)
    assert planner.report(0).shortest_wait == 0
    planner.add(a_text(300, at=1))
    planner.add(a_text(300, at=2))
    planner.add(a_list(200, 200, at=5))
    assert planner.report(9).shortest_wait == 8  # nothing was taken up: the oldest
    run(planner, now=10)
    run(planner, now=11)
    report = planner.report(11)
    assert report.shortest_wait == 5  # the list, of all taken up since
    assert report.rates is None
    assert report.left == Work(prefill=200, decode=30 - 1)
    assert report.shields
    assert planner.report(12).shortest_wait == 10  # nothing since: the text from 2


def test_steps_teach_the_costs() -> None:
    costs = Costs()
    planner = Planner(LIMITS, costs)
    for _ in range(20):
        planner.stepped(Share([], [], prefill=100, decode=10), 0.5)
    assert costs.rate == pytest.approx(220)
    assert planner.report(0).rates is not None


def test_classes_in_which_nothing_waits_are_forgotten() -> None:
    planner = Planner(LIMITS, Costs())
    kept = a_text(5, priority=-1)
    planner.add(kept)
    for priority in range(10 * CLASSES):
        entry = a_text(5, priority=priority)
        planner.add(entry)
        planner.remove(entry)
    assert len(planner._bands) <= CLASSES
    assert planner.seat(0).begin == [kept]
