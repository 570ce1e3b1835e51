"""The command `lepton-worker`: serve a model, or write sample models."""

import argparse
import logging
import os
import sys
import time
from pathlib import Path
from typing import NoReturn

STARTED_AT = time.monotonic()


def command() -> int:
    """Read the command line and do what it says; returns the exit status."""
    arguments = _parser().parse_args()
    if arguments.command == "samples":
        return _samples(arguments.folder, arguments.only)
    from lepton_worker import huge_pages

    huge_pages.ensure()
    from lepton_worker.process import run

    flags = {name: value for name, value in vars(arguments).items() if name != "command"}
    return run(flags, STARTED_AT)


def _samples(folder: Path, only: list[str] | None) -> int:
    from lepton_worker.errors import InvalidSetting
    from lepton_worker.samples import write_samples

    try:
        for written in write_samples(folder, only):
            print(written)
    except InvalidSetting as error:
        print(f"lepton-worker: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    from lepton_worker.settings import add_flags

    parser = argparse.ArgumentParser(
        prog="lepton-worker",
        description="Serves one transformer model over gRPC. Every flag can be given in the "
        "environment instead, under the name in brackets.",
    )
    add_flags(parser)
    parser.set_defaults(command="serve")
    commands = parser.add_subparsers(metavar="COMMAND")
    samples = commands.add_parser(
        "samples", help="write small models with random weights, for trials and tests"
    )
    samples.add_argument("folder", type=Path, help="folder to write them into")
    samples.add_argument(
        "--only", action="append", metavar="NAME", help="only this one (repeatable)"
    )
    samples.set_defaults(command="samples")
    return parser


def main() -> NoReturn:
    """Run the command and end at once, although a step of the model may still be running."""
    status = command()
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
