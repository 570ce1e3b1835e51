"""Nodes and pods that live without a machine behind them: kwok and the stages it plays."""

import json
from typing import Any

from localcluster.paths import Run
from localcluster.plan import Plan

COMPONENT = "kwok"
# Only nodes that carry it are played; a real node is left to its kubelet.
ANNOTATION = "localcluster.lepton.ai/simulated"
# Set aside for benchmarks of networks: no pod of a real node has one of these.
ADDRESSES = "198.18.0.0/15"
LEASE_SECONDS = "40"

NODE_READY = """\
{{ $now := Now }}
conditions:
- {type: Ready, status: "True", reason: Simulated, message: "nothing stands behind this node",
   lastHeartbeatTime: {{ $now | Quote }}, lastTransitionTime: {{ $now | Quote }}}
nodeInfo:
  architecture: amd64
  bootID: ""
  containerRuntimeVersion: simulated
  kernelVersion: simulated
  kubeProxyVersion: simulated
  kubeletVersion: simulated
  machineID: ""
  operatingSystem: linux
  osImage: simulated
  systemUUID: ""
"""
POD_STARTED = """\
{{ $now := Now }}
phase: Running
startTime: {{ $now | Quote }}
hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
podIP: {{ PodIPWith .spec.nodeName false ( or .metadata.uid "" ) ( or .metadata.name "" ) ( or .metadata.namespace "" ) | Quote }}
conditions:
- {type: Initialized, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: ContainersReady, status: "False", lastTransitionTime: {{ $now | Quote }}}
- {type: Ready, status: "False", lastTransitionTime: {{ $now | Quote }}}
containerStatuses:
{{ range .spec.containers }}
- {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: "", ready: false,
   started: false, restartCount: 0, state: {running: {startedAt: {{ $now | Quote }}}}}
{{ end }}
"""  # noqa: E501 - a template's line cannot be broken
POD_READY = """\
{{ $now := Now }}
conditions:
- {type: ContainersReady, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: Ready, status: "True", lastTransitionTime: {{ $now | Quote }}}
containerStatuses:
{{ range .spec.containers }}
- {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: "", ready: true,
   started: true, restartCount: 0, state: {running: {startedAt: {{ $now | Quote }}}}}
{{ end }}
"""
READY_STATUS = '.status.conditions.[] | select( .type == "Ready" ) | .status'


def stages(load_seconds: float) -> str:
    """Return what happens to nodes and pods: ready, started, loaded after a while, gone."""
    alive = _match(".metadata.deletionTimestamp", "DoesNotExist")
    all_stages = [
        _stage("node-ready", "Node", [_match(READY_STATUS, "NotIn", "True")], NODE_READY),
        _stage(
            "pod-started", "Pod", [alive, _match(".status.phase", "In", "Pending")], POD_STARTED
        ),
        _stage(
            "pod-ready",
            "Pod",
            [
                alive,
                _match(".status.phase", "In", "Running"),
                _match(READY_STATUS, "In", "False"),
            ],
            POD_READY,
            delay_seconds=load_seconds,
        ),
        _stage("pod-gone", "Pod", [_match(".metadata.deletionTimestamp", "Exists")], None),
    ]
    # Documents of one JSON object each are YAML.
    return "\n---\n".join(json.dumps(stage) for stage in all_stages)


def flags(plan: Plan, run: Run) -> dict[str, str]:
    """Return the flags of kwok."""
    return {
        "kubeconfig": str(run.kubeconfig),
        "config": str(run.config / "stages.yaml"),
        "manage-nodes-with-annotation-selector": f"{ANNOTATION}=true",
        "node-lease-duration-seconds": LEASE_SECONDS,
        "cidr": ADDRESSES,
        "node-ip": plan.host_ip,
        "server-address": f"127.0.0.1:{plan.ports.simulation}",
    }


def _stage(
    name: str,
    kind: str,
    matches: list[dict[str, Any]],
    status: str | None,
    delay_seconds: float = 0,
) -> dict[str, Any]:
    step: dict[str, Any] = {"delete": True} if status is None else {"statusTemplate": status}
    spec: dict[str, Any] = {
        "resourceRef": {"apiGroup": "v1", "kind": kind},
        "selector": {"matchExpressions": matches},
        "next": step,
    }
    if delay_seconds:
        spec["delay"] = {"durationMilliseconds": int(delay_seconds * 1000)}
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": spec,
    }


def _match(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}
