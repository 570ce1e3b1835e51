"""How a load looks."""

from rich.text import Text
from tests.unit.demo.stories import sample, whole_story

from lepton_demo import view
from lepton_demo.scaling import Story
from lepton_demo.tally import Tally
from lepton_demo.view import Traffic

SEEN = Traffic(sent=20, answered=12, failed=0, open=8, rate=3.0, p50=0.0812, p99=0.31)


def plain(story: Story, seen: Traffic = SEEN, width: int = 20) -> list[str]:
    return [Text.from_markup(row).plain for row in view.panel(story, seen, width)]


def test_the_panel_shows_queue_wish_workers_and_requests() -> None:
    story = whole_story()
    del story.samples[7:]
    story.load_end = None
    queue, wants, ready, requests = plain(story)
    assert queue.endswith("14 in hand, 4 a worker wanted")
    assert wants.endswith("3 of at most 3")
    assert ready.endswith("●●◐ 2 ready, 1 loading")
    assert requests.endswith("12 answered, 0 failed, 3/s, p50 81 ms, p99 310 ms")


def test_rows_are_aligned_whatever_was_seen() -> None:
    story = Story(1, 0.0, samples=[sample(1, 1, None, ready=1), sample(2, 2, 3, ready=1)])
    assert {row[33:35] for row in plain(story)[:3]} == {"  "}
    assert all(row[35] != " " for row in plain(story)[:3])
    assert plain(story)[0][13:15] == "·█"


def test_bars_of_workers_have_the_most_workers_as_their_top() -> None:
    story = Story(1, 0.0, samples=[sample(1, 1, 0, ready=1)])
    assert "█" not in plain(story)[2]


def test_an_unknown_queue_is_said_to_be_unknown() -> None:
    story = Story(1, 0.0, samples=[sample(1, 1, None, ready=1)])
    assert "unknown" in plain(story)[0]
    assert "queue unknown" in view.line(story, SEEN)


def test_before_the_first_sample_there_is_something_to_read() -> None:
    assert plain(Story(1, 0.0)) == ["waiting for the first figures ..."]
    assert view.line(Story(1, 0.0), SEEN) == "waiting for the first figures"


def test_the_line_says_everything_at_once() -> None:
    story = whole_story()
    assert Text.from_markup(view.line(story, SEEN)).plain == (
        "after +25 s | queue 0 | HPA wants 1 of at most 3 | 1 ready | "
        "12 answered, 0 failed, 3/s, p50 81 ms, p99 310 ms"
    )
    story.load_end = None
    assert view.line(story, SEEN).startswith("load +65 s")


def test_the_title_tells_load_and_aftermath_apart() -> None:
    story = whole_story()
    assert view.title(story) == "load for 40 s, then none for 25 s"
    story.load_end = None
    assert view.title(story) == "load for 65 s"
    assert view.title(Story(1, 0.0)) == "load"


def test_failures_stand_out() -> None:
    story = whole_story()
    assert "[red]2 failed[/]" in view.panel(story, Traffic(failed=2), 20)[-1]


def test_traffic_is_of_the_last_seconds() -> None:
    tally = Tally()
    tally.sent = 3
    tally.answer("a", arrival=0, now=1)
    tally.answer("a", arrival=98, now=98.5)
    seen = view.traffic(tally, now=100)
    assert (seen.answered, seen.open, seen.rate) == (2, 1, 0.2)
    assert (seen.p50, seen.p99) == (0.5, 0.5)
