"""`lepton COMMAND`; also `kubectl lepton COMMAND`."""

import argparse
import sys
from collections.abc import Sequence

from lepton_cli import simulate
from lepton_cli.models import ModelError
from lepton_cli.simulation.trace import TraceError

USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status, 2 for input that cannot be used."""
    parser = argparse.ArgumentParser(prog="lepton", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    simulate.add_to(commands)
    given = parser.parse_args(arguments)
    try:
        print(given.run(given))
    except (ModelError, TraceError) as error:
        print(f"lepton: {error}", file=sys.stderr)
        return USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main())
