"""Running other programs to their end."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcluster.errors import CommandFailed

LAST_LINES = 60
# What the command timeout(1) says of a command it ended.
UNFINISHED = 124


def run(
    argv: Sequence[str | Path],
    *,
    input: str | None = None,  # noqa: A002 - the name subprocess gives it
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command, its output captured; `env` is added to ours."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            input=input,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            text=True,
            errors="replace",
            capture_output=True,
            check=False,
            timeout=timeout,
            # Without input the command must not read our terminal.
            stdin=subprocess.DEVNULL if input is None else None,
        )
    except subprocess.TimeoutExpired:
        raise CommandFailed(words, UNFINISHED, f"not finished after {timeout:g} s") from None
    if check and done.returncode != 0:
        raise CommandFailed(words, done.returncode, _ending(done.stdout + done.stderr))
    return done


def run_logged(
    argv: Sequence[str | Path],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run a long command, its output appended to a file; a failure shows the end of it."""
    words = [str(word) for word in argv]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        begin = sink.tell()
        done = subprocess.run(
            words,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        with log.open("rb") as source:
            source.seek(begin)
            output = source.read().decode(errors="replace")
        raise CommandFailed(words, done.returncode, _ending(output))


def _ending(output: str) -> str:
    return "\n".join(output.splitlines()[-LAST_LINES:])
