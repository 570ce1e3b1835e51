"""What is said: when things go well, when they do not, and what to try next."""

import json
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from rich.text import Text
from tests.unit.demo.stories import sample, whole_story

from lepton_demo import advice, closing, figures, texts
from lepton_demo.current import Current
from lepton_demo.figures import Outcome
from lepton_demo.local import Local
from lepton_demo.options import Options
from lepton_demo.questions import Written
from lepton_demo.reading import Health
from lepton_demo.scaling import Sample, Story
from lepton_demo.site import Site
from lepton_demo.tally import LoadReport

REPORT = LoadReport(10, 9, {"INTERNAL": 1}, 2, {"a:1": 9}, (0.1,) * 9, 3.0)
READY = Health(True, False, "Serving", "")
LOADING = Health(False, False, "Loading", "one worker loads the model")


def plain(lines: Sequence[str]) -> str:
    return "\n".join(Text.from_markup(line).plain for line in lines)


def test_models_that_are_waited_for_are_named_with_their_reason() -> None:
    assert advice.waiting_for({"minilm": READY, "writer": LOADING}) == "writer: Loading"


def test_models_that_never_become_ready_are_named_with_message_and_remedy() -> None:
    said = advice.not_ready({"minilm": READY, "writer": LOADING}, 900)
    assert said == "Not ready after 900 s:\n  writer: Loading: one worker loads the model"
    look = advice.model_commands({"minilm": READY, "writer": LOADING}, "space", "system")
    assert "kubectl -n space describe lm writer" in look
    assert not any("minilm" in command for command in look)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([sample(60, 1, 0, ready=1)], "never showed a request"),
        ([sample(60, 1, 9, ready=1)], "did not ask for another worker"),
        ([sample(60, 3, 9, ready=2, pending=1)], "2 of 3 came to serve"),
    ],
)
def test_a_load_without_workers_says_which_link_is_missing(
    samples: list[Sample], words: str
) -> None:
    story = Story(1, load_start=0.0, samples=samples)
    pod = {
        "metadata": {"name": "minilm-x"},
        "status": {"conditions": [{"type": "PodScheduled", "message": "Insufficient cpu"}]},
    }
    said = advice.not_risen(story, [pod])
    assert words in said
    if "came to serve" in words:
        assert "minilm-x is pending: Insufficient cpu" in said


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (sample(1, None, 0, ready=1), "no HorizontalPodAutoscaler"),
        (sample(1, 1, None, ready=1), "does not know the model's queue depth"),
        (sample(1, 3, 5, ready=2), "Does somebody else use it"),
    ],
)
def test_a_model_that_does_not_come_to_rest_says_why(last: Sample, words: str) -> None:
    assert words in advice.not_quiet(Story(1, 0.0, samples=[last]))


def test_workers_that_stay_are_counted() -> None:
    story = Story(1, 0.0, load_end=10.0, samples=[sample(430, 3, 0, ready=3)])
    assert advice.not_settled(story) == (
        "420 s after the load 3 workers still exist (3 wanted by the autoscaler); "
        "1 were there before."
    )


def an_outcome() -> Outcome:
    return Outcome(
        warm=True,
        seconds=200.0,
        ready_seconds=30.0,
        first_answer_seconds=61.25,
        load=REPORT,
        milestones=whole_story().milestones(),
    )


def test_the_summary_has_the_figures_that_matter() -> None:
    said = plain(closing.summary(an_outcome()))
    for words in ("61.2 s", "10 sent, 9 answered, 1 lost", "3.0 s", "20.0 s", "25.0 s"):
        assert words in said


def test_without_a_load_the_summary_is_silent_about_it() -> None:
    assert "requests" not in plain(closing.summary(Outcome(first_answer_seconds=1.0)))


@pytest.mark.parametrize("site", [Local(Options()), Current(Options(current=True))])
def test_next_steps_end_with_how_to_end_it(site: Site) -> None:
    lines = plain(closing.next_steps(Options(namespace="space"), site)).splitlines()
    assert lines[-1].lstrip().startswith(site.down_command())
    assert any("kubectl -n space get lm" in line for line in lines)


def test_what_was_not_brought_up_need_not_be_ended() -> None:
    site = Local(Options())
    assert "Nothing was brought up" in plain(closing.left_behind(site))
    site.touched = True
    assert "make demo-down" in plain(closing.left_behind(site))


def test_random_weights_are_admitted_and_real_ones_are_not_denied() -> None:
    labels = [("LABEL_1", 0.51), ("LABEL_0", 0.49)]
    assert texts.RANDOM_LABELS in plain(texts.label_lines(labels, random_weights=True))
    assert texts.RANDOM_LABELS not in plain(texts.label_lines(labels, random_weights=False))
    written = Written("a\nb\x1b[2J [/]", 2, 0.01, 0.05)
    assert texts.RANDOM_TEXT in plain(texts.written_lines(written, random_weights=True))
    assert "a b·[2J [/]" in plain(texts.written_lines(written, random_weights=False))


@pytest.mark.parametrize(
    "question", [texts.EMBED, texts.CLASSIFY, texts.generate_question(ignore_eos=True)]
)
def test_the_same_question_can_be_pasted_into_a_shell(question: texts.Question) -> None:
    lines = texts.call_lines("10.0.0.1:9000", question)
    grpcurl, client = (shlex.split(Text.from_markup(line).plain) for line in lines)
    assert json.loads(grpcurl[3]) == question.request
    assert grpcurl[4:] == ["10.0.0.1:9000", f"lepton.v1.{question.method}"]
    assert client[-3:] == ["10.0.0.1:9000", question.task, question.text]


def test_figures_say_whether_the_start_was_warm() -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    document = figures.document(an_outcome(), ["make", "demo"], when)
    values = {entry["name"]: entry["value"] for entry in document["figures"]}
    assert values["road.demo_answer_s_warm"] == 61.25
    assert (values["demo.sent"], values["demo.lost"]) == (10, 1)
    assert values["demo.load_to_decision_s"] == 3
    assert document["when"] == "2026-01-02T03:04:05+00:00"
    cold = figures.document(Outcome(), [], when)
    assert cold["figures"][0] == {
        "name": "road.demo_answer_s_cold",
        "value": None,
        "unit": "s",
        "note": "start to first answer",
    }
