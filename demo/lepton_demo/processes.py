"""Running programs: one that ends, and one that keeps talking. Each dies with its caller."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from lepton_demo.errors import CommandFailed, Refused

LONGEST_LINE = 16 * 1024 * 1024
FAREWELL_SECONDS = 10.0

OnLine = Callable[[str], None]


async def run(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
    stdin: str | None = None,
    on_line: OnLine | None = None,
) -> str:
    """Run a program to its end and return its standard output.

    `on_line` sees every line of the standard error as it comes. Raises CommandFailed with the end
    of it when the status is not 0.
    """
    async with started(argv, environ=environ, stdin=stdin is not None) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        out, errors, _ = await asyncio.gather(
            _lines(process.stdout, None),
            _lines(process.stderr, on_line),
            _feed(process, stdin),
        )
        status = await process.wait()
    if status != 0:
        raise CommandFailed(argv, status, "\n".join(errors or out))
    return "\n".join(out)


@asynccontextmanager
async def started(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
    stdin: bool = False,
    errors: bool = True,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running program with its outputs as pipes; it is ended, with its children, on leaving.

    Without `errors` its standard error goes nowhere: a pipe that nobody reads fills up.
    """
    # A session of its own: Ctrl-C is for us, and we tell our programs in order.
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=environ,
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE if errors else asyncio.subprocess.DEVNULL,
            limit=LONGEST_LINE,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise Refused(f"{argv[0]} is not on the PATH; install it first") from None
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await process.wait()
                return


async def _lines(stream: asyncio.StreamReader, on_line: OnLine | None) -> list[str]:
    lines = []
    async for raw in stream:
        line = raw.decode(errors="replace").rstrip("\r\n")
        lines.append(line)
        if on_line is not None and line.strip():
            on_line(line.strip())
    return lines


async def _feed(process: asyncio.subprocess.Process, text: str | None) -> None:
    if process.stdin is None or text is None:
        return
    with suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(text.encode())
        await process.stdin.drain()
        process.stdin.close()
