"""The end of the demo: what was seen, in a few lines, and what to try next. Markup is rich's."""

from collections.abc import Sequence

from rich.markup import escape

from lepton_demo.figures import Outcome
from lepton_demo.options import Options
from lepton_demo.site import REPOSITORY, Site, python
from lepton_demo.texts import ENCODER, WRITER
from lepton_demo.view import milliseconds

COMMAND_WIDTH = 52


def seconds(value: float | None) -> str:
    """A duration for people; a dash when there is none."""
    return "-" if value is None else f"{value:.1f} s"


def rise(outcome: Outcome) -> str:
    """One line about the way up."""
    marks = outcome.milestones
    return (
        f"autoscaler asked after {seconds(marks.decision)}, new worker Ready after "
        f"{seconds(marks.new_ready)}, {marks.peak} Ready after {seconds(marks.peak_ready)}"
    )


def fall(outcome: Outcome) -> str:
    """One line about the way down."""
    return f"back to where it began after {seconds(outcome.milestones.settled)}"


def summary(outcome: Outcome) -> list[str]:
    """What was seen."""
    state = "everything was there" if outcome.warm else "things had to be built or brought up first"
    lines = [
        "",
        "[bold]What you saw[/]",
        f"  first answer    {seconds(outcome.first_answer_seconds)} after the start ({state})",
    ]
    load, marks = outcome.load, outcome.milestones
    if load.sent:
        lost = f"[red]{load.lost} lost[/]" if load.lost else "none lost"
        again = f", {load.retries} asked again elsewhere" if load.retries else ""
        lines += [
            f"  requests        {load.sent} sent, {load.answered} answered, {lost}{again}; "
            f"p50 {milliseconds(load.latency(0.5))}, p99 {milliseconds(load.latency(0.99))}",
            f"  load → decision {seconds(marks.decision)} until the autoscaler asked for more",
            f"  load → Ready    {seconds(marks.new_ready)} until a new worker answered, "
            f"{seconds(marks.peak_ready)} until {marks.peak} did",
            f"  load → settled  {seconds(marks.settled)} after its end",
        ]
    return lines


def next_steps(options: Options, site: Site) -> list[str]:
    """Commands to try, in an order that makes sense."""
    space = f"-n {options.namespace}"
    client = f"{python()} examples/python_client.py localhost:9000"
    rows = [
        *((command, "point this shell at the cluster") for command in site.shell()),
        (f"kubectl {space} get lm", "all models in one line each"),
        (f"kubectl {space} describe lm {ENCODER}", "conditions and events, in words"),
        ("kubectl explain lm.spec.scaling", "every field is documented"),
        (f"kubectl {space} port-forward service/{WRITER} 9000 &", "reach a model from anywhere"),
        ("grpcurl -plaintext localhost:9000 list", "services, by reflection"),
        (f'{client} generate "One morning"', "a client in Python"),
        (f"kubectl {space} edit lm {ENCODER}", "change scaling.maxReplicas, watch with get lm -w"),
        (site.down_command(), "end all of this"),
    ]
    return [
        "",
        f"[bold]What to try next[/] [dim](in {escape(str(REPOSITORY))})[/]",
        *(f"  [cyan]{escape(f'{command:<{COMMAND_WIDTH}}')}[/]  {what}" for command, what in rows),
    ]


def left_behind(site: Site) -> Sequence[str]:
    """What is left when the demo ends in the middle."""
    if not site.touched:
        return ["Nothing was brought up."]
    end = site.down_command()
    return [f"What was brought up is still up. Run it again to go on, or end it: {end}"]
