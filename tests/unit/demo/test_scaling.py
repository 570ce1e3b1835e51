"""The moments of a load."""

import pytest
from tests.unit.demo.stories import sample, whole_story

from lepton_demo.scaling import Milestones, Sample, Story


def test_milestones_count_from_the_start_and_from_the_end_of_the_load() -> None:
    assert whole_story().milestones() == Milestones(
        queue_seen=2, decision=3, new_pod=4, new_ready=20, peak=3, peak_ready=25, settled=25
    )


def test_what_was_before_the_load_is_no_milestone() -> None:
    story = Story(
        1, load_start=100, samples=[sample(90, 3, 9, ready=3), sample(101, 1, 0, ready=1)]
    )
    marks = story.milestones()
    assert (marks.decision, marks.new_ready, marks.queue_seen) == (None, None, None)


def test_nothing_seen_gives_no_milestones() -> None:
    assert Story(1, 0.0).milestones() == Milestones(None, None, None, None, 0, None, None)


@pytest.mark.parametrize(
    ("last", "settled"),
    [
        (sample(9, 1, ready=1), True),
        (sample(9, 3, ready=1), False),
        (sample(9, 1, ready=1, terminating=1), False),
        (sample(9, 1, ready=3), False),
        (sample(9, 1, loading=1), False),
        (sample(9, None, ready=1), True),
    ],
)
def test_settled_means_nothing_is_left_of_the_others(last: Sample, settled: bool) -> None:
    assert Story(1, 0.0, samples=[last]).settled() is settled


def test_an_unsettled_story_does_not_say_when_it_settled() -> None:
    story = whole_story()
    story.samples.pop()
    assert story.milestones().settled is None


def test_pods_that_are_over_do_not_exist() -> None:
    assert sample(0, 1, ready=1, over=2).existing == 1
