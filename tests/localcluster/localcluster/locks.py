"""One process at a time: file locks that the kernel drops when their holder dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcluster.errors import DeadlinePassed
from localcluster.waiting import until


@contextmanager
def locked(path: Path, *, timeout: float = 1800) -> Iterator[None]:
    """Hold the lock of that file while the block runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:

        def taken() -> bool:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        try:
            until(taken, f"the lock {path}", timeout)
        except DeadlinePassed as error:
            raise DeadlinePassed(f"{error}; another process holds it: fuser {path}") from None
        yield
