"""How a load looks: the lines of the live panel, and the one line where there is no terminal.

Lines are rich's markup. Pure: the story and the traffic in, text out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lepton_demo.reading import Stage
from lepton_demo.scaling import Sample, Story
from lepton_demo.sparkline import sparkline
from lepton_demo.tally import Tally, percentile

RECENT_SECONDS = 5.0
LABEL = 12
SIGNS = {Stage.READY: "●", Stage.LOADING: "◐", Stage.PENDING: "○", Stage.TERMINATING: "✕"}
COLOURS = {
    Stage.READY: "green",
    Stage.LOADING: "yellow",
    Stage.PENDING: "cyan",
    Stage.TERMINATING: "red",
}


@dataclass(frozen=True)
class Traffic:
    """The load, as its sender sees it."""

    sent: int = 0
    answered: int = 0
    failed: int = 0
    open: int = 0
    rate: float = 0.0
    """Answers each second, of late."""

    p50: float | None = None
    """Seconds, of late."""

    p99: float | None = None


def traffic(tally: Tally, now: float) -> Traffic:
    """What a tally says at this moment."""
    recent = tally.since(now - RECENT_SECONDS)
    return Traffic(
        sent=tally.sent,
        answered=tally.answered,
        failed=tally.failed,
        open=tally.open,
        rate=len(recent) / RECENT_SECONDS,
        p50=percentile(recent, 0.5),
        p99=percentile(recent, 0.99),
    )


def panel(story: Story, seen: Traffic, width: int) -> list[str]:
    """Lines of the live panel; `width` is that of the bars."""
    if not story.samples:
        return ["waiting for the first figures ..."]
    last = story.samples[-1]
    most = float(last.autoscaler.most if last.autoscaler else max(last.existing, 1))
    queue = _bars([sample.queue for sample in story.samples], width, "magenta")
    wanted = _bars([sample.desired for sample in story.samples], width, "blue", most)
    ready = _bars([sample.ready for sample in story.samples], width, "green", most)
    return [
        _row("queue depth", queue, _queue(last)),
        _row("HPA wants", wanted, _wants(last)),
        _row("ready", ready, _workers(last)),
        f"[bold]{'requests':<{LABEL}}[/] {_requests(seen)}",
    ]


def title(story: Story) -> str:
    """How long the load lasts, and how long ago it ended."""
    if not story.samples:
        return "load"
    end = story.samples[-1].at if story.load_end is None else story.load_end
    text = f"load for {end - story.load_start:.0f} s"
    if story.load_end is None:
        return text
    return f"{text}, then none for {story.samples[-1].at - end:.0f} s"


def line(story: Story, seen: Traffic) -> str:
    """Everything of this moment in one line."""
    if not story.samples:
        return "waiting for the first figures"
    last = story.samples[-1]
    phase = "load" if story.load_end is None else "after"
    since = last.at - (story.load_start if story.load_end is None else story.load_end)
    parts = [f"{phase} +{since:.0f} s", f"queue {_count(last.queue)}", f"HPA wants {_wants(last)}"]
    return " | ".join([*parts, _stages(last), _requests(seen)])


def milliseconds(seconds: float | None) -> str:
    """A latency for people; a dash when there was none."""
    return "-" if seconds is None else f"{1000 * seconds:.0f} ms"


def _row(label: str, bars: str, text: str) -> str:
    return f"[bold]{label:<{LABEL}}[/] {bars}  {text}"


def _bars(values: Sequence[float | None], width: int, colour: str, top: float | None = None) -> str:
    drawn = sparkline(values, width, top)
    return f"[{colour}]{drawn}[/]{' ' * (width - len(drawn))}"


def _queue(last: Sample) -> str:
    if last.queue is None:
        return "[yellow]unknown to the metrics API[/]"
    target = last.autoscaler.target if last.autoscaler else None
    return f"{last.queue:.0f} in hand" + (f", {target:.0f} a worker wanted" if target else "")


def _count(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f}"


def _wants(last: Sample) -> str:
    if last.autoscaler is None:
        return "nothing (no autoscaler)"
    return f"{last.autoscaler.desired} of at most {last.autoscaler.most}"


def _workers(last: Sample) -> str:
    signs = "".join(
        f"[{COLOURS[stage]}]{sign * last.stages[stage]}[/]"
        for stage, sign in SIGNS.items()
        if last.stages[stage]
    )
    return f"{signs} {_stages(last)}"


def _stages(last: Sample) -> str:
    known = [f"{last.stages[stage]} {stage}" for stage in SIGNS if last.stages[stage]]
    return ", ".join(known) or "no pods"


def _requests(seen: Traffic) -> str:
    failed = f"[red]{seen.failed} failed[/]" if seen.failed else "0 failed"
    counts = f"{seen.answered} answered, {failed}"
    if seen.p50 is None:
        return counts
    return (
        f"{counts}, {seen.rate:.0f}/s, p50 {milliseconds(seen.p50)}, p99 {milliseconds(seen.p99)}"
    )
