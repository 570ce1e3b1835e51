"""The configuration files of components: pure functions of the plan and of where things lie."""

import json
from pathlib import Path
from typing import Any

from localcluster.paths import Cache, Run
from localcluster.pki import Pki
from localcluster.plan import Plan

BRIDGE = "lepton0"
NETWORK = "lepton-localcluster"
CNI_PLUGINS = Path("/usr/lib/cni")
REGISTRY = "registry.localcluster"


def audit_policy() -> str:
    """Record who changed what; reads and heartbeats would drown it."""
    quiet = [
        {"group": "", "resources": ["events"]},
        {"group": "events.k8s.io", "resources": ["events"]},
        {"group": "coordination.k8s.io", "resources": ["leases"]},
    ]
    writes = ["create", "update", "patch", "delete", "deletecollection"]
    return _yaml(
        {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [
                {"level": "None", "resources": quiet},
                {"level": "Metadata", "verbs": writes},
                {"level": "None"},
            ],
        }
    )


def kubelet(plan: Plan, run: Run, pki: Pki, *, cgroup_v1: bool) -> str:
    """Return the configuration of the kubelet."""
    serving = pki.pair("kubelet")
    return _yaml(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": plan.host_ip,
            "port": plan.ports.kubelet,
            "readOnlyPort": 0,
            "healthzPort": plan.ports.kubelet_health,
            "tlsCertFile": str(serving.cert),
            "tlsPrivateKeyFile": str(serving.key),
            **_only_known_users(pki),
            "containerRuntimeEndpoint": f"unix://{run.containerd_socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": plan.cgroup,
            "failCgroupV1": not cgroup_v1,
            "failSwapOn": False,
            "clusterDNS": [plan.ranges.dns],
            "clusterDomain": "cluster.local",
            "resolvConf": "/etc/resolv.conf",
            "podLogsDir": str(run.pod_logs),
            "volumePluginDir": str(run.kubelet / "plugins-exec"),
            # Without CAP_SYS_RESOURCE a score cannot be lowered, only kept.
            "oomScoreAdj": 0,
            "makeIPTablesUtilChains": True,
            # A disk that looks full would have our few images deleted, or every pod evicted.
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%",
                             "imagefs.available": "1%"},
            "serializeImagePulls": False,
            "registryPullQPS": 0,
            "eventRecordQPS": 0,
            "kubeAPIQPS": 100,
            "kubeAPIBurst": 200,
            "nodeStatusUpdateFrequency": "5s",
        }
    )  # fmt: skip


def proxy(plan: Plan, run: Run) -> str:
    """Return the configuration of kube-proxy."""
    return _yaml(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(run.config / "kube-proxy.kubeconfig")},
            "mode": "iptables",
            "clusterCIDR": plan.ranges.pods,
            "hostnameOverride": plan.node_name,
            "healthzBindAddress": f"127.0.0.1:{plan.ports.proxy_health}",
            "metricsBindAddress": f"127.0.0.1:{plan.ports.proxy_metrics}",
            "oomScoreAdj": 0,
            # Zero leaves the machine's own limits alone.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s",
                          "tcpCloseWaitTimeout": "0s"},
            "iptables": {"minSyncPeriod": "0s", "syncPeriod": "30s"},
        }
    )  # fmt: skip


def cni(plan: Plan, run: Run, mtu: int) -> str:
    """Return the network configuration: a bridge, addresses of this node, host ports."""
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": True,
        # A pod may reach itself through its own Service.
        "hairpinMode": True,
        "mtu": mtu,
        "ipam": {
            "type": "host-local",
            "dataDir": str(run.cni / "addresses"),
            "ranges": [[{"subnet": plan.ranges.pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return json.dumps(
        {
            "cniVersion": "0.4.0",
            "name": NETWORK,
            "plugins": [
                bridge,
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        },
        indent=1,
    )


def containerd(plan: Plan, run: Run, cache: Cache, pause_image: str) -> str:
    """Return the configuration of containerd 1.6."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "{cache.containerd}"
state = "{run.containerd}"
oom_score = 0

[grpc]
  address = "{run.containerd_socket}"

[{cri}]
  sandbox_image = "{pause_image}"
  stream_server_address = "127.0.0.1"
  stream_server_port = "{plan.ports.streaming}"
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE every sandbox would fail on lowering its score.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true

[{cri}.containerd]
  snapshotter = "overlayfs"
  discard_unpacked_layers = true
  default_runtime_name = "runc"

[{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [{cri}.containerd.runtimes.runc.options]
    Root = "{run.containerd / "runc"}"

[{cri}.cni]
  bin_dir = "{CNI_PLUGINS}"
  conf_dir = "{run.cni}"

[{cri}.registry]
  config_path = "{run.config / "registries"}"
"""


def registry_hosts(plan: Plan) -> str:
    """Tell containerd where the name of our registry is served."""
    address = f"http://127.0.0.1:{plan.ports.registry}"
    return f'server = "{address}"\n\n[host."{address}"]\n  capabilities = ["pull", "resolve"]\n'


def registry(cache: Cache, port: int) -> str:
    """Return the configuration of the registry."""
    return _yaml(
        {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(cache.registry)},
                "delete": {"enabled": True},
            },
            "http": {"addr": f"127.0.0.1:{port}"},
        }
    )


def coredns(plan: Plan, run: Run) -> str:
    """Return the Corefile: cluster names from the API server, the rest as this machine does."""
    return f"""\
.:{plan.ports.dns} {{
  bind {plan.host_ip}
  errors
  ready 127.0.0.1:{plan.ports.dns_ready}
  kubernetes cluster.local in-addr.arpa ip6.arpa {{
    kubeconfig {run.config / "coredns.kubeconfig"}
    ttl 1
  }}
  forward . /etc/resolv.conf
  cache 1
}}
"""


def _only_known_users(pki: Pki) -> dict[str, Any]:
    return {
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki.cluster_ca.cert)},
        },
        "authorization": {"mode": "Webhook"},
    }


def _yaml(content: dict[str, Any]) -> str:
    # JSON is YAML, and needs nobody to quote anything.
    return json.dumps(content, indent=1) + "\n"
