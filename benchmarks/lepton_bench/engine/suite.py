"""The suite: its parts one after another, each merged into the results as soon as it is done."""

import asyncio
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed

from lepton_bench import figures, page
from lepton_bench.engine import installs, options, order, pictures, plan, preparation, store
from lepton_bench.engine.context import Context
from lepton_bench.engine.options import Options
from lepton_bench.engine.parts import (
    cancel,
    cold,
    decode,
    encode,
    exact,
    gpu,
    limits,
    mixes,
    open_load,
    overhead,
    victim,
)
from lepton_bench.engine.roster import Roster
from lepton_bench.engine.worker_help import offered

Part = Callable[[Context], Awaitable[None]]

MEASURES: dict[str, Part] = {
    "limits": limits.measure,
    "encode": encode.measure,
    "decode": decode.measure,
    "long": decode.measure_long,
    "mixes": mixes.measure,
    "load": open_load.measure,
    "victim": victim.measure,
    "cancel": cancel.measure,
    "cold": cold.measure,
    "overhead": overhead.measure,
    "exact": exact.measure,
    "gpu": gpu.measure,
}


def main(arguments: Sequence[str]) -> int:
    """Run what the words behind `engine` ask for; 1 when a part failed."""
    chosen = options.parse(arguments)
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))  # so that servers are ended
    try:
        return asyncio.run(_run(chosen, shlex.join(["engine", *arguments])))
    except KeyboardInterrupt:
        return 130


async def _run(chosen: Options, words: str) -> int:
    about = figures.machine()
    cores = order.split(sorted(os.sched_getaffinity(0)), chosen.threads)
    os.sched_setaffinity(0, cores.client)
    values = await offered(chosen.worker)
    console = Console(stderr=True)
    if chosen.prepare:
        return await preparation.prepare(chosen, console)
    failed, steps = 0, plan.planned(chosen)
    console.print(plan.table(steps, chosen.rounds), markup=False, highlight=False, soft_wrap=True)
    with _progress(console) as progress:
        bar = progress.add_task("", total=sum(step.seconds for step in steps))
        context = Context(
            chosen,
            Roster(cores, chosen.worker, values),
            lambda text: _tell(text, progress, bar, console),
        )
        for step in steps:
            progress.update(bar, description=step.part)
            failed += not await _part(step.part, context, words, about, console)
            progress.advance(bar, step.seconds)
    return 1 if failed else 0


def _tell(text: str, progress: Progress, bar: TaskID, console: Console) -> None:
    progress.update(bar, description=text)
    if not console.is_terminal:  # which shows no bar that moves
        console.print(f"{datetime.now(UTC):%H:%M:%S} {text}", highlight=False, markup=False)


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        Elapsed(),
        console=console,
    )


async def _part(
    part: str, context: Context, words: str, about: dict[str, object], console: Console
) -> bool:
    """Run one part and write what it found; False when it failed."""
    context.figures, context.curves, context.missing = [], [], {}
    load = round(os.getloadavg()[0], 2)
    try:
        await MEASURES[part](context)
    except Exception:
        console.print(f"[bold red]{part} failed[/]")
        console.print(traceback.format_exc(), markup=False)
        return False
    _write(part, context, words, about, load)
    _show(part, context, console)
    return True


def _write(part: str, context: Context, words: str, about: dict[str, object], load: float) -> None:
    chosen, now = context.options, datetime.now(UTC)
    path = store.place(chosen.trial)
    command = f"make bench ARGS='{words}'" if " " in words else f"make bench ARGS={words}"
    how = {
        "when": now.isoformat(timespec="seconds"),
        "command": command,
        "rounds": chosen.rounds,
        "load_before": load,
        "cores": {"server": context.roster.cores.server, "client": context.roster.cores.client},
        "missing": dict(sorted(context.missing.items())),
    }
    document = store.with_part(store.load(path), part, how, context.figures, context.curves)
    versions = {**figures.versions("absent"), **context.versions, **installs.versions()}
    versions.pop("kubernetes_server")
    store.write(path, document, now=now, command=command, about=about, versions=versions)
    pictures.draw(document["curves"], store.TRIAL if chosen.trial else page.IMAGES)
    if not chosen.trial:
        page.write()


def _show(part: str, context: Context, console: Console) -> None:
    console.print(f"[bold]{part}[/]")
    for figure in context.figures:
        value = "not measured" if figure.value is None else f"{figure.value:g} {figure.unit}"
        line = f"  {figure.name:52} {value:>20}  {figure.note}"
        console.print(line, markup=False, soft_wrap=True)
    sys.stderr.flush()
