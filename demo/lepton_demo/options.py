"""What the caller may choose: command line and environment, read in this one place."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

TRUE = ("1", "true", "yes")


@dataclass(frozen=True)
class Images:
    """Images that pods of the cluster can pull, as `repository:tag`."""

    operator: str
    worker: str


@dataclass(frozen=True)
class Options:
    """Everything that was chosen."""

    down: bool = False
    current: bool = False
    context: str | None = None
    cluster: str = "default"
    namespace: str = "lepton-demo"
    system_namespace: str = "lepton-system"
    operator_image: str | None = None
    worker_image: str | None = None
    load: bool = True
    callers: int = 14
    load_seconds: float = 300.0
    ready_seconds: float = 900.0
    figures: Path | None = None

    def down_command(self) -> str:
        """What the user types to end what these options brought up."""
        default = Options()
        chosen = [
            f"--{name.replace('_', '-')} {getattr(self, name)}"
            for name in ("context", "cluster", "namespace", "system_namespace")
            if getattr(self, name) != getattr(default, name)
        ]
        words = ["make demo-down", *(["CLUSTER=current"] if self.current else [])]
        return " ".join([*words, *([f'ARGS="{" ".join(chosen)}"'] if chosen else [])])

    @property
    def images(self) -> Images | None:
        """The images that were named; None unless both were."""
        if self.operator_image is None or self.worker_image is None:
            return None
        return Images(self.operator_image, self.worker_image)


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Read the options; ends the process with a message when they make no sense."""
    given = Options(**vars(_parser(environ).parse_args(argv)))
    return replace(given, current=True) if given.context else given


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lepton_demo",
        description="Bring up Kubernetes and Lepton, ask models questions, watch them scale.",
    )
    add = parser.add_argument
    add("--down", action="store_true", help="end what the demo brought up, and nothing else")
    where = parser.add_argument_group("where")
    where.add_argument(
        "--use-current-cluster",
        dest="current",
        action="store_true",
        default=environ.get("LEPTON_DEMO_CURRENT", "").lower() in TRUE,
        help="use the cluster that kubectl points to (also LEPTON_DEMO_CURRENT=1)",
    )
    where.add_argument("--context", help="one of your kubeconfig; implies --use-current-cluster")
    where.add_argument("--cluster", default="default", help="name of the local cluster")
    where.add_argument("--namespace", default="lepton-demo", help="namespace of the example models")
    where.add_argument(
        "--system-namespace", default="lepton-system", help="namespace of the operator"
    )
    images = parser.add_argument_group("images, for a current cluster without Lepton")
    images.add_argument("--operator-image", metavar="REPOSITORY:TAG")
    images.add_argument("--worker-image", metavar="REPOSITORY:TAG")
    load = parser.add_argument_group("load")
    load.add_argument("--no-load", dest="load", action="store_false", help="stop after the answers")
    load.add_argument("--callers", type=_positive, default=14, help="requests in flight (14)")
    load.add_argument(
        "--load-seconds", type=float, default=300.0, help="longest load, in seconds (300)"
    )
    add("--ready-seconds", type=float, default=900.0, help="longest wait for the models (900)")
    add("--figures", type=Path, metavar="PATH", help="write what was measured to a JSON file")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number
