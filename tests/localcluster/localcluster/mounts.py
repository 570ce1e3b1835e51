"""Mounts below a folder: found and taken away, the deepest first."""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
DETACH = 2  # MNT_DETACH: a busy mount vanishes when its last user ends


def below(folder: Path, mountinfo: str) -> list[Path]:
    """Return the mount points in and under a folder, the latest mounted first."""
    points = [Path(_unescaped(line.split()[4])) for line in mountinfo.splitlines()]
    return [point for point in reversed(points) if point.is_relative_to(folder)]


def current(folders: Sequence[Path]) -> list[Path]:
    """Return what is mounted now under any of the folders."""
    text = MOUNTINFO.read_text()
    return [point for folder in folders for point in below(folder, text)]


def detach(points: Sequence[Path]) -> None:
    """Take mounts away."""
    libc = ctypes.CDLL(None, use_errno=True)
    for point in points:
        if libc.umount2(os.fsencode(point), DETACH) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(point))


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
