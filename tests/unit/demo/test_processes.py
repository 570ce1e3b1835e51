"""Running programs."""

import asyncio
import os
import select
import sys

import pytest

from lepton_demo import processes
from lepton_demo.errors import CommandFailed, Refused


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def test_output_is_returned_and_progress_is_seen_line_by_line() -> None:
    seen: list[str] = []
    code = (
        "import sys; say = lambda text: print(text, file=sys.stderr); "
        "print('one'); say(' two '); say(''); print(' three '); say('four')"
    )
    assert await processes.run(python(code), on_line=seen.append) == "one\n three "
    assert seen == ["two", "four"]


async def test_input_is_fed() -> None:
    code = "import sys; print(sys.stdin.read().upper())"
    assert await processes.run(python(code), stdin="yes") == "YES"


async def test_a_failure_carries_its_status_and_its_last_words() -> None:
    with pytest.raises(CommandFailed, match="no such thing") as caught:
        await processes.run(python("import sys; print('fine'); sys.exit('no such thing')"))
    assert caught.value.returncode == 1


async def test_a_missing_program_is_named() -> None:
    with pytest.raises(Refused, match="no-such-program is not on the PATH"):
        await processes.run(["no-such-program"])


async def test_a_cancelled_program_ends_with_its_children() -> None:
    code = (
        "import subprocess, sys; child = subprocess.Popen(['sleep', '1000']); "
        "print(child.pid, file=sys.stderr, flush=True); child.wait()"
    )
    pids: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        processes.run(python(code), on_line=lambda line: pids.set_result(int(line)))
    )
    ends = os.pidfd_open(await pids)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # A process that was killed takes a moment to be gone.
    assert await asyncio.to_thread(select.select, [ends], [], [], 10) == ([ends], [], [])
    os.close(ends)


async def test_a_program_is_not_reached_by_the_terminals_interrupt() -> None:
    async with processes.started(python("input()"), stdin=True) as process:
        assert os.getpgid(process.pid) != os.getpgid(0)
