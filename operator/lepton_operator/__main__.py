"""The command line `lepton-operator {run,metrics}`: reads the settings and starts one process."""

import argparse
import logging
import os
import sys

from lepton_operator import __version__, logs
from lepton_operator.settings import Settings, SettingsError, read


def main(arguments: list[str] | None = None) -> None:
    """Run the chosen process until it is told to stop; exits with 1 when it cannot go on."""
    parser = argparse.ArgumentParser(prog="lepton-operator", description="Operator of LeptonModels")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("run", help="look after LeptonModels")
    commands.add_parser("metrics", help="serve their queue depths to the autoscaler")
    command = parser.parse_args(arguments).command
    try:
        settings = read(os.environ)
        logs.configure(settings)
        _start(command, settings)
    except SettingsError as error:
        sys.exit(f"lepton-operator: {error}")
    except Exception:
        logging.getLogger(__name__).exception("cannot go on")
        sys.exit(1)


def _start(command: str, settings: Settings) -> None:
    # Each process imports only what it needs: it is half of its memory.
    if command == "run":
        from lepton_operator import process

        process.run(settings)
    else:
        from lepton_operator import metrics

        metrics.run(settings)


if __name__ == "__main__":
    main()
