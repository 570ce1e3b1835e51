"""Up and down: the order of everything, under locks, with orphans swept first."""

import os
import sys
from dataclasses import astuple
from pathlib import Path

from localcluster import (
    addresses,
    binaries,
    control_plane,
    health,
    manifests,
    node,
    plan,
    ports,
    preflight,
    processes,
    teardown,
)
from localcluster.commands import run as run_command
from localcluster.errors import NodeTaken, Refused
from localcluster.locks import locked
from localcluster.paths import SOURCE, Cache, Run
from localcluster.progress import Progress
from localcluster.supervisor import Supervisor


def up(
    name: str,
    options: plan.Options,
    cache: Cache,
    progress: Progress,
    owner: processes.Process | None = None,
) -> plan.Plan:
    """Bring a cluster up and return its plan; on failure nothing stays."""
    run = cache.run(name)
    sweep(cache, progress)
    with locked(cache.locks / f"cluster-{name}"):
        if standing(run):
            raise Refused(
                f"cluster {name} is up already: use it, or python -m localcluster down {name}"
            )
        # A remnant of a crash would look like a node of somebody else.
        teardown.down(run, cache)
        tools = _tools(options, cache, progress)
        decided = _decide(name, options, cache, owner)
        try:
            with progress.step(f"starting cluster {name}"):
                _start(decided, run, cache, tools)
            run.starting.unlink()
        except BaseException:
            progress.say(f"  cluster {name} did not come up; taking it down")
            teardown.down(run, cache)
            raise
    return decided


def down(name: str, cache: Cache, progress: Progress) -> None:
    """Take a cluster down; one that is not there counts as down."""
    run = cache.run(name)
    with locked(cache.locks / f"cluster-{name}"), progress.step(f"taking down cluster {name}"):
        teardown.down(run, cache)


def standing(run: Run) -> plan.Plan | None:
    """Return the plan of a cluster that came up and runs; None for remnants and nothing."""
    decided = plan.load(run.plan)
    up = not run.starting.exists() and Supervisor(run).is_running("kube-apiserver")
    return decided if up else None


def all_names(cache: Cache) -> list[str]:
    """Return the clusters that have a folder, whatever state they are in."""
    return sorted(path.name for path in cache.runs.glob("*") if path.is_dir())


def node_clusters(cache: Cache) -> list[str]:
    """Return the clusters that have, or are about to have, the node of this machine."""
    return [decided.name for decided in _plans(cache) if decided.options.node]


def sweep(cache: Cache, progress: Progress) -> None:
    """Take down clusters whose owner has died without doing so."""
    for name in all_names(cache):
        decided = plan.load(cache.run(name).plan)
        if decided and decided.owner and not decided.owner.is_alive:
            down(name, cache, progress)


def reap(name: str, owner: processes.Process, cache: Cache) -> None:
    """Wait for the owner's end, then take its cluster down."""
    processes.wait_for_end(owner)
    down(name, cache, Progress(quiet=True))


def _tools(options: plan.Options, cache: Cache, progress: Progress) -> dict[str, Path]:
    _refuse_second_node(options, cache)
    preflight.install_missing(node=options.node, progress=progress)
    wanted = (*binaries.CONTROL_PLANE, *(binaries.NODE if options.node else ()))
    chest = binaries.Binaries(cache, progress)
    cached = all(chest.find(tool, command) for tool in wanted for command in tool.commands)
    needed = preflight.needed_gigabytes(
        node=options.node, binaries_cached=cached, images_cached=cache.buildah.exists()
    )
    machine = preflight.look(cache, node=options.node)
    # Chains of a cluster that came up since the first look are no foreign ones.
    _refuse_second_node(options, cache)
    socket = cache.run("x" * 12).containerd_socket
    found = preflight.problems(machine, node=options.node, needed_gigabytes=needed, socket=socket)
    if found:
        raise Refused(*found)
    return chest.ensure(*wanted)


def _decide(
    name: str, options: plan.Options, cache: Cache, owner: processes.Process | None
) -> plan.Plan:
    with locked(cache.locks / "decide"):
        _refuse_second_node(options, cache)
        # A cluster that is just starting does not listen yet on all that it will.
        promised = {port for other in _plans(cache) for port in astuple(other.ports)}
        decided = plan.Plan(
            name=name,
            options=options,
            host_ip=addresses.host_ip(),
            ports=ports.allocate(name, lambda port: port not in promised and ports.is_free(port)),
            ranges=addresses.choose_ranges(addresses.routed()),
            owner=owner,
        )
        run = cache.run(name)
        run.root.mkdir(parents=True, exist_ok=True)
        run.starting.touch()
        # Written before anything starts: whatever happens from here on, it can be taken down.
        plan.save(decided, run.plan)
    return decided


def _refuse_second_node(options: plan.Options, cache: Cache) -> None:
    others = node_clusters(cache)
    if options.node and others:
        raise NodeTaken(
            f"cluster {others[0]} already has the node of this machine: "
            f"python -m localcluster down {others[0]}, or use --control-plane"
        )


def _plans(cache: Cache) -> list[plan.Plan]:
    found = [plan.load(cache.run(name).plan) for name in all_names(cache)]
    return [decided for decided in found if decided]


def _start(decided: plan.Plan, run: Run, cache: Cache, tools: dict[str, Path]) -> None:
    supervisor = Supervisor(run)
    material = control_plane.prepare(decided, run)
    if decided.owner:
        _launch_reaper(decided.name, decided.owner, supervisor)
    if decided.options.node:
        node.prepare(decided, run, cache, material)
        node.start_runtime(decided, run, cache, tools, supervisor)
    control_plane.start(decided, run, material, tools, supervisor)
    if decided.options.node:
        node.await_runtime(decided, run, cache, material, tools, supervisor)
        node.start_kubelet(decided, run, tools, supervisor)
        _apply_dns(decided, run, tools["kubectl"])
    control_plane.await_started(decided, material, supervisor)
    if decided.options.node:
        for component in ("kubelet", "kube-proxy", "coredns"):
            health.await_ready(component, decided, material, supervisor)
        node.await_schedulable(decided, run, tools["kubectl"], supervisor)


def _apply_dns(decided: plan.Plan, run: Run, kubectl: Path) -> None:
    objects = manifests.dns(decided.ranges.dns, decided.host_ip, decided.ports.dns)
    run_command(
        [kubectl, "--kubeconfig", run.kubeconfig, "apply", "--server-side", "-f", "-"],
        input=manifests.as_list(objects),
    )


def _launch_reaper(name: str, owner: processes.Process, supervisor: Supervisor) -> None:
    argv = (sys.executable, "-m", "localcluster", "reap", name)
    path = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")]))
    supervisor.launch(
        "reaper", (*argv, str(owner.pid), str(owner.start_time)), {"PYTHONPATH": path}
    )
