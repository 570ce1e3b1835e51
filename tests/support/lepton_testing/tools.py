"""Programs that tests ask a worker with, where they are there."""

import shutil
from pathlib import Path

BUILT = Path.home() / ".cache" / "lepton" / "localcluster"
"""Where the local cluster keeps what it has built."""


def grpcurl() -> str | None:
    """The program's path, None if it is neither built nor installed."""
    built = sorted(BUILT.glob("grpcurl-*/grpcurl"))
    return str(built[-1]) if built else shutil.which("grpcurl")
