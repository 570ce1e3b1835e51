"""Where each component says that it is ready, and waiting for that."""

from localcluster import probes
from localcluster.pki import Pki
from localcluster.plan import Plan
from localcluster.supervisor import Supervisor


def addresses(plan: Plan) -> dict[str, str]:
    """Return the address that answers once a component is ready; those without are left out."""
    ports = plan.ports
    return {
        "etcd": f"http://127.0.0.1:{ports.etcd}/readyz",
        "kube-apiserver": f"{plan.server}/readyz",
        "kube-controller-manager": f"https://127.0.0.1:{ports.controller_manager}/healthz",
        "kube-scheduler": f"https://127.0.0.1:{ports.scheduler}/readyz",
        "registry": f"http://127.0.0.1:{ports.registry}/v2/",
        "kubelet": f"http://127.0.0.1:{ports.kubelet_health}/healthz",
        "kube-proxy": f"http://127.0.0.1:{ports.proxy_health}/livez",
        "coredns": f"http://127.0.0.1:{ports.dns_ready}/ready",
        "kwok": f"http://127.0.0.1:{ports.simulation}/healthz",
    }


def await_ready(component: str, plan: Plan, material: Pki, supervisor: Supervisor) -> None:
    """Wait until one component answers, where it can be asked at all."""
    address = addresses(plan).get(component)
    if address is None:
        return
    # The others make themselves a certificate when they start, which proves nothing.
    ours = component == "kube-apiserver"
    authority = material.cluster_ca if ours else None
    client = material.admin if ours else None
    supervisor.await_ready(
        component, lambda: probes.answers(address, authority=authority, client=client)
    )
