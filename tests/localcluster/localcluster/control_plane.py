"""Bringing up etcd, API server, controller manager and scheduler, each awaited."""

from collections.abc import Mapping
from pathlib import Path

from localcluster import components, configs, health, kubeconfigs, pki, probes
from localcluster.paths import Run
from localcluster.plan import Plan
from localcluster.supervisor import Supervisor

USERS = {
    "kube-controller-manager": "kube-controller-manager",
    "kube-scheduler": "kube-scheduler",
    "kube-proxy": "kube-proxy",
    "coredns": "coredns",
    "kubelet": "kubelet",
}


def prepare(plan: Plan, run: Run) -> pki.Pki:
    """Write keys, certificates, kubeconfigs and configuration files."""
    for folder in (run.logs, run.config, run.processes):
        folder.mkdir(parents=True, exist_ok=True)
    material = pki.create(run.pki, plan.node_name, plan.host_ip, plan.ranges.kubernetes)
    authority = material.cluster_ca
    run.kubeconfig.touch(mode=0o600)
    run.kubeconfig.write_text(
        kubeconfigs.for_pair(f"lepton-{plan.name}", plan.server, authority, material.admin)
    )
    for user, pair in USERS.items():
        target = run.config / f"{user}.kubeconfig"
        target.touch(mode=0o600)
        target.write_text(kubeconfigs.for_pair(user, plan.server, authority, material.pair(pair)))
    (run.config / "audit-policy.yaml").write_text(configs.audit_policy())
    return material


def start(
    plan: Plan, run: Run, material: pki.Pki, binaries: Mapping[str, Path], supervisor: Supervisor
) -> None:
    """Start the four components, the last three as soon as the one before answers."""
    flags = {
        "etcd": components.etcd(plan, run),
        "kube-apiserver": components.apiserver(plan, run, material),
        "kube-controller-manager": components.controller_manager(plan, run, material),
        "kube-scheduler": components.scheduler(plan, run),
    }

    def launch(component: str) -> None:
        argv = components.command(binaries[component], flags[component])
        supervisor.launch(
            component, components.overridden(argv, plan.options.flags.get(component, {}))
        )

    launch("etcd")
    # The API server keeps dialling until etcd is there, so it need not wait.
    launch("kube-apiserver")
    health.await_ready("etcd", plan, material, supervisor)
    health.await_ready("kube-apiserver", plan, material, supervisor)
    launch("kube-controller-manager")
    launch("kube-scheduler")


def await_started(plan: Plan, material: pki.Pki, supervisor: Supervisor) -> None:
    """Wait for the two that start() leaves coming up."""
    health.await_ready("kube-controller-manager", plan, material, supervisor)
    health.await_ready("kube-scheduler", plan, material, supervisor)
    # The controllers run once the first of them has written something.
    account = f"{plan.server}/api/v1/namespaces/default/serviceaccounts/default"
    supervisor.await_ready(
        "kube-controller-manager",
        lambda: probes.answers(account, authority=material.cluster_ca, client=material.admin),
    )
