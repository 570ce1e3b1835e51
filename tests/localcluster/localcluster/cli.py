"""The command line: up, down, status, kubectl, env, build, image, base, leftovers, clean."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from localcluster import binaries, cluster, images, lifecycle, storage, teardown
from localcluster.errors import LocalClusterError
from localcluster.paths import cache
from localcluster.plan import Options
from localcluster.processes import Process
from localcluster.progress import Progress

DEFAULT = "default"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments) or 0)
    except LocalClusterError as error:
        print(f"localcluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("localcluster: interrupted", file=sys.stderr)
        return 130


def _up(arguments: argparse.Namespace) -> None:
    running = lifecycle.standing(cache().run(arguments.name))
    if running and running.options.node == (not arguments.control_plane):
        print(f"cluster {arguments.name} is up already")
        return
    options = Options(
        node=not arguments.control_plane,
        default_periods=arguments.default_periods,
        feature_gates=dict(_gate(text) for text in arguments.feature_gate),
    )
    made = cluster.create(arguments.name, options)
    print(f"cluster {made.name} is up: export KUBECONFIG={made.kubeconfig}")


def _down(arguments: argparse.Namespace) -> None:
    where, progress = cache(), Progress()
    names = lifecycle.all_names(where) if arguments.all else [arguments.name]
    for name in names:
        lifecycle.down(name, where, progress)


def _status(arguments: argparse.Namespace) -> int:
    where = cache()
    names = lifecycle.all_names(where)
    if not names:
        print("no cluster is up")
    broken = 0
    for name in names:
        if lifecycle.standing(where.run(name)) is None:
            print(f"{name}: starting, or a remnant; python -m localcluster down {name}")
            broken += 1
            continue
        up = cluster.attach(name)
        kind = "with node" if up.has_node else "control plane"
        print(f"{name}: {kind}, {up.server}, {up.kubeconfig}")
        for component, runs in up.all_components().items():
            print(f"  {component:24} {'running' if runs else 'STOPPED'}")
    return 1 if broken else 0


def _kubectl(arguments: argparse.Namespace) -> None:
    up = cluster.attach(arguments.name)
    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    binary = str(up.tool("kubectl"))
    os.execve(binary, [binary, *words], up.env())


def _env(arguments: argparse.Namespace) -> None:
    up = cluster.attach(arguments.name, progress=Progress(quiet=True))
    folders = {str(up.tool(name).parent): None for name in ("kubectl", "helm", "grpcurl")}
    print(f"export KUBECONFIG={shlex.quote(str(up.kubeconfig))}")
    print(f'export PATH={shlex.quote(os.pathsep.join(folders))}:"$PATH"')


def _build(arguments: argparse.Namespace) -> None:
    chest = binaries.Binaries(cache(), Progress())
    for command, path in chest.ensure(*binaries.ALL).items():
        print(f"{command:24} {path}")


def _image(arguments: argparse.Namespace) -> None:
    dockerfile: Path = arguments.dockerfile
    name = arguments.name or dockerfile.name.replace("Dockerfile.", "lepton-")
    image = images.build(
        dockerfile,
        name=name,
        base=arguments.base,
        context=arguments.context or dockerfile.parent,
        build_args=dict(text.split("=", 1) for text in arguments.build_arg),
    )
    if not arguments.no_push:
        cluster.attach(arguments.cluster).push(image)
    print(images.describe(image))


def _base(arguments: argparse.Namespace) -> None:
    image = images.base_image(arguments.base)
    if arguments.push:
        cluster.attach(arguments.cluster).push(image)
    print(images.describe(image))


def _leftovers(arguments: argparse.Namespace) -> int:
    found = teardown.leftovers(cache())
    for sentence in found:
        print(sentence)
    return 1 if found else 0


def _clean(arguments: argparse.Namespace) -> None:
    freed = storage.clean(cache(), everything=arguments.all)
    print(f"freed {freed:.1f} GB")


def _reap(arguments: argparse.Namespace) -> None:
    lifecycle.reap(arguments.name, Process(arguments.pid, arguments.start_time), cache())


def _gate(text: str) -> tuple[str, bool]:
    name, _, value = text.partition("=")
    return name, value.lower() != "false"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="localcluster", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="bring a cluster up")
    up.add_argument("name", nargs="?", default=DEFAULT)
    up.add_argument("--control-plane", action="store_true", help="without a node: fast, no root")
    up.add_argument("--default-periods", action="store_true", help="the autoscaler's own periods")
    up.add_argument("--feature-gate", action="append", default=[], metavar="NAME=BOOL")
    up.set_defaults(run=_up)

    down = commands.add_parser("down", help="take a cluster down")
    down.add_argument("name", nargs="?", default=DEFAULT)
    down.add_argument("--all", action="store_true", help="every cluster")
    down.set_defaults(run=_down)

    commands.add_parser("status", help="what is up").set_defaults(run=_status)

    kubectl = commands.add_parser("kubectl", help="run kubectl against a cluster")
    kubectl.add_argument("--name", default=DEFAULT)
    kubectl.add_argument("words", nargs=argparse.REMAINDER)
    kubectl.set_defaults(run=_kubectl)

    env = commands.add_parser("env", help="print KUBECONFIG and PATH for a shell")
    env.add_argument("name", nargs="?", default=DEFAULT)
    env.set_defaults(run=_env)

    commands.add_parser("build", help="build all programs").set_defaults(run=_build)
    clean = commands.add_parser("clean", help="free the cache's disk space")
    clean.add_argument("--all", action="store_true", help="programs and base images too")
    clean.set_defaults(run=_clean)
    commands.add_parser("leftovers", help="list what is still there").set_defaults(run=_leftovers)
    _add_image_commands(commands)

    _add_reap_command(commands)
    return parser


def _add_reap_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    # What a cluster bound to a process runs beside itself: not for people, so without a help.
    reap = commands.add_parser("reap")
    reap.add_argument("name")
    reap.add_argument("pid", type=int)
    reap.add_argument("start_time", type=int)
    reap.set_defaults(run=_reap)


def _add_image_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    image = commands.add_parser("image", help="build an image and push it to the node's registry")
    image.add_argument("dockerfile", type=Path)
    image.add_argument("--name", help="its name; Dockerfile.worker becomes lepton-worker")
    image.add_argument("--base", default="base", help="base or base-torch")
    image.add_argument("--context", type=Path, help="build context; the Dockerfile's folder")
    image.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    image.add_argument("--no-push", action="store_true")
    image.add_argument("--cluster", default=DEFAULT)
    image.set_defaults(run=_image)

    base = commands.add_parser("base", help="make one of the base images")
    base.add_argument("base", nargs="?", default="base-torch")
    base.add_argument("--push", action="store_true")
    base.add_argument("--cluster", default=DEFAULT)
    base.set_defaults(run=_base)
