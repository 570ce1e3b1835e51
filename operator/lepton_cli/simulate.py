"""`lepton simulate`: what a spec's scaling would have cost, and how long requests would wait."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from lepton_cli import models
from lepton_cli.models import ModelError
from lepton_cli.simulation import trace
from lepton_cli.simulation.contest import LEPTON, Entrant, entrants, run
from lepton_cli.simulation.run import Result
from lepton_cli.simulation.shapes import SECONDS, SHAPES, shape
from lepton_cli.simulation.trace import Trace, TraceError
from lepton_cli.simulation.world import World
from lepton_operator.api.types import LeptonModel
from lepton_operator.scaling.behavior import behavior
from lepton_operator.scaling.hpa import Hpa
from lepton_operator.scaling.lepton import Lepton
from lepton_operator.scaling.values import Bounds

COLUMNS = ("policy", "replica-s", "x oracle", "mean wait", "p50", "p99", "late", "turns", "wakes")
DESCRIPTION = """Serve a trace of requests by the same decisions that scale a model in a cluster.
Cost is in replica-seconds, also over an oracle that knows the future; waits are in seconds from a
request's arrival to its begin; late are those that waited longer than their deadline; turns are
changes between growing and shrinking."""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a parser."""
    parser = commands.add_parser(
        "simulate", help="what a spec's scaling costs on a trace", description=DESCRIPTION
    )
    parser.add_argument("models", nargs="+", type=Path, metavar="FILE", help="LeptonModels (YAML)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--trace", type=Path, help="requests, a JSON object a line")
    source.add_argument("--shape", choices=[*SHAPES], default="steady", help="made-up requests")
    parser.add_argument("--seed", type=int, default=1, help="of the shape (1)")
    parser.add_argument("--seconds", type=_above_0, default=SECONDS, help="of the shape (3600)")
    parser.add_argument(
        "--cold-start", type=_above_0, default=30.0, help="seconds from a pod to its first answer"
    )
    parser.add_argument(
        "--pace", type=_above_0, default=50.0, help="tokens a second of one request that runs"
    )
    parser.add_argument(
        "--peers", action="store_true", help="beside plain HPA, KEDA, Knative and KubeAI"
    )
    parser.set_defaults(run=simulated)


def _above_0(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def simulated(given: argparse.Namespace) -> str:
    """The table. Raises ModelError or TraceError."""
    found = [(path, models.read(path)) for path in given.models]
    requests = _requests(given)
    blocks = []
    for slots in sorted({model.spec.engine.max_batch_size for _, model in found}):
        world = World(slots, given.cold_start, given.pace)
        some = [
            _entrant(path, model)
            for path, model in found
            if model.spec.engine.max_batch_size == slots
        ]
        if given.peers:
            peers = entrants(world, some[0].bounds)
            some += [entrant for entrant in peers if entrant.name != LEPTON]
        results, least = run(requests, world, some)
        blocks.append(_block(requests, world, results, least))
    return "\n\n".join(blocks)


def _requests(given: argparse.Namespace) -> Trace:
    if given.trace is None:
        return shape(given.shape, given.seed, given.seconds)
    try:
        lines = given.trace.read_text().splitlines()
    except OSError as error:
        raise TraceError(f"{given.trace}: {error.strerror}; give a file of requests") from None
    return trace.read(str(given.trace), lines)


def _entrant(path: Path, model: LeptonModel) -> Entrant:
    scaling = model.spec.scaling
    bounds = Bounds(scaling.min_replicas, scaling.max_replicas, scaling.target_queue_depth)
    try:
        autoscaler = Hpa(behavior(scaling.effective_behavior))
    except ValueError as error:
        raise ModelError(f"{path}: spec.scaling.{error}") from None
    return Entrant(str(path), Lepton(autoscaler, model.spec.engine.max_batch_size), bounds)


def _block(requests: Trace, world: World, results: dict[str, Result], least: float) -> str:
    title = (
        f"{requests.name}: {len(requests.requests)} requests in {requests.seconds:.0f} s; "
        f"{world.slots} at once in a worker, {world.pace:g} tokens/s each, "
        f"cold start {world.cold_start:g} s"
    )
    rows = [_row(name, result, least) for name, result in results.items()]
    return f"{title}\n{table([COLUMNS, *rows])}"


def _row(name: str, result: Result, least: float) -> tuple[str, ...]:
    return (
        name,
        f"{result.replica_seconds:.0f}",
        f"{result.replica_seconds / least:.2f}",
        *(f"{wait:.2f}" for wait in (result.mean_wait, result.wait(0.5), result.wait(0.99))),
        *(str(count) for count in (result.late, result.flaps, result.wakes)),
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text in columns, the first one to the left and numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    adjust: list[Callable[[str, int], str]] = [str.ljust, *[str.rjust] * (len(widths) - 1)]
    return "\n".join(
        "  ".join(put(cell, width) for put, cell, width in zip(adjust, row, widths, strict=True))
        for row in rows
    )
