"""The command lines of the components: pure functions of the plan and of where things lie."""

from collections.abc import Mapping
from pathlib import Path

from localcluster.paths import Run
from localcluster.pki import Pki
from localcluster.plan import Plan

Flags = dict[str, str]

QUICK_PERIODS = {
    "horizontal-pod-autoscaler-sync-period": "1s",
    "horizontal-pod-autoscaler-downscale-stabilization": "5s",
    "horizontal-pod-autoscaler-initial-readiness-delay": "1s",
    "horizontal-pod-autoscaler-cpu-initialization-period": "5s",
}


def command(binary: Path, flags: Mapping[str, str]) -> tuple[str, ...]:
    """Put a command line together."""
    return (str(binary), *(f"--{name}={value}" for name, value in flags.items()))


def overridden(argv: tuple[str, ...], flags: Mapping[str, str]) -> tuple[str, ...]:
    """Return the command line with some flags replaced or added; an empty value removes one."""
    kept = [word for word in argv if word.removeprefix("--").partition("=")[0] not in flags]
    return (*kept, *(f"--{name}={value}" for name, value in flags.items() if value))


def etcd(plan: Plan, run: Run) -> Flags:
    """Return the flags of etcd; it is lost with the cluster, so it need not reach the disk."""
    client = f"http://127.0.0.1:{plan.ports.etcd}"
    peer = f"http://127.0.0.1:{plan.ports.etcd_peer}"
    return {
        "name": plan.name,
        "data-dir": str(run.etcd),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"{plan.name}={peer}",
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }


def apiserver(plan: Plan, run: Run, pki: Pki) -> Flags:
    """Return the flags of the API server."""
    flags = {
        "advertise-address": plan.host_ip,
        "bind-address": plan.host_ip,
        "secure-port": str(plan.ports.apiserver),
        "etcd-servers": f"http://127.0.0.1:{plan.ports.etcd}",
        "service-cluster-ip-range": plan.ranges.services,
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": "true",
        "enable-aggregator-routing": "true",
        # A node's name is in no DNS that the API server asks.
        "kubelet-preferred-address-types": "InternalIP",
        "kubelet-client-certificate": str(pki.kubelet_client.cert),
        "kubelet-client-key": str(pki.kubelet_client.key),
        "kubelet-certificate-authority": str(pki.cluster_ca.cert),
        "client-ca-file": str(pki.cluster_ca.cert),
        "tls-cert-file": str(pki.apiserver.cert),
        "tls-private-key-file": str(pki.apiserver.key),
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": str(pki.service_accounts.cert),
        "service-account-signing-key-file": str(pki.service_accounts.key),
        "requestheader-client-ca-file": str(pki.front_proxy_ca.cert),
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-username-headers": "X-Remote-User",
        "proxy-client-cert-file": str(pki.front_proxy_client.cert),
        "proxy-client-key-file": str(pki.front_proxy_client.key),
        "audit-policy-file": str(run.config / "audit-policy.yaml"),
        "audit-log-path": str(run.logs / "audit.log"),
        "audit-log-maxsize": "100",
        # Long requests, watches among them, would keep a stopping server up for a minute.
        "shutdown-delay-duration": "0s",
        "profiling": "false",
    }
    return flags | _gates(plan)


def controller_manager(plan: Plan, run: Run, pki: Pki) -> Flags:
    """Return the flags of the controller manager."""
    kubeconfig = str(run.config / "kube-controller-manager.kubeconfig")
    flags = {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "secure-port": str(plan.ports.controller_manager),
        "leader-elect": "false",
        # Binding a claim to its volume would otherwise take up to 15 s.
        "pvclaimbinder-sync-period": "1s",
        "flex-volume-plugin-dir": str(run.root / "plugins-exec"),
        "use-service-account-credentials": "true",
        # At the usual 20 a second, its own accounts alone would hold the start up for 4 s.
        "kube-api-qps": "500",
        "kube-api-burst": "1000",
        "root-ca-file": str(pki.cluster_ca.cert),
        "service-account-private-key-file": str(pki.service_accounts.key),
        "cluster-signing-cert-file": str(pki.cluster_ca.cert),
        "cluster-signing-key-file": str(pki.cluster_ca.key),
        "profiling": "false",
    }
    quick = {} if plan.options.default_periods else QUICK_PERIODS
    return flags | quick | _gates(plan)


def scheduler(plan: Plan, run: Run) -> Flags:
    """Return the flags of the scheduler."""
    kubeconfig = str(run.config / "kube-scheduler.kubeconfig")
    return {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "secure-port": str(plan.ports.scheduler),
        "leader-elect": "false",
        "profiling": "false",
    } | _gates(plan)


def kubelet(plan: Plan, run: Run) -> Flags:
    """Return the flags of the kubelet; the rest is in its configuration file."""
    return {
        "config": str(run.config / "kubelet.yaml"),
        "kubeconfig": str(run.config / "kubelet.kubeconfig"),
        "root-dir": str(run.kubelet),
        "cert-dir": str(run.kubelet / "pki"),
        "hostname-override": plan.node_name,
        "node-ip": plan.host_ip,
    }


def proxy(run: Run) -> Flags:
    """Return the flags of kube-proxy; the rest is in its configuration file."""
    return {"config": str(run.config / "kube-proxy.yaml")}


def _gates(plan: Plan) -> Flags:
    gates = plan.options.feature_gates
    if not gates:
        return {}
    return {"feature-gates": ",".join(f"{name}={str(on).lower()}" for name, on in gates.items())}
