"""python -m lepton_demo: what `make demo` runs."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape

from lepton_demo import closing, figures, options
from lepton_demo.current import Current
from lepton_demo.demo import Demo
from lepton_demo.errors import DemoError
from lepton_demo.local import Local
from lepton_demo.options import Options
from lepton_demo.screen import Plain, Screen
from lepton_demo.site import Site
from lepton_demo.terminal import Terminal

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return its exit status."""
    words = sys.argv[1:] if argv is None else list(argv)
    chosen = options.parse(words, os.environ)
    console = Console()
    screen: Screen = Terminal(console) if console.is_terminal else Plain(console)
    site: Site = Current(chosen) if chosen.current else Local(chosen)
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    try:
        asyncio.run(_down(site, screen) if chosen.down else _run(chosen, site, screen, words))
    except DemoError as error:
        screen.show(["", f"[bold red]The demo ended early.[/] {escape(str(error))}"])
        if not chosen.down:
            screen.show(["", *closing.left_behind(site)])
        return 1
    except KeyboardInterrupt:
        screen.show(["", "Stopped.", *closing.left_behind(site)])
        return INTERRUPTED
    return 0


async def _run(chosen: Options, site: Site, screen: Screen, words: Sequence[str]) -> None:
    demo = Demo(chosen, site, screen)
    try:
        await demo.run()
    finally:
        if chosen.figures is not None:
            command = ["python", "-m", "lepton_demo", *words]
            content = figures.document(demo.outcome, command, datetime.now(UTC))
            figures.write(chosen.figures, content)


async def _down(site: Site, screen: Screen) -> None:
    with screen.step("Down") as step:
        step.done(await site.down(step.note))


if __name__ == "__main__":
    sys.exit(main())
