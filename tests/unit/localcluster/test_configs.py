"""Configuration files follow from the plan, and are what their readers can parse."""

import tomllib

import yaml

from localcluster import configs
from localcluster.paths import Cache, Run
from localcluster.pki import Pki
from localcluster.plan import Plan


def test_containerd_keeps_images_and_forgets_the_rest(plan: Plan, run: Run, cache: Cache) -> None:
    parsed = tomllib.loads(configs.containerd(plan, run, cache, "registry.localcluster/pause:1"))
    assert parsed["root"] == str(cache.containerd)
    assert parsed["state"].startswith(str(run.root))
    cri = parsed["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["restrict_oom_score_adj"] is True
    assert cri["netns_mounts_under_state_dir"] is True
    assert cri["sandbox_image"] == "registry.localcluster/pause:1"
    runc = cri["containerd"]["runtimes"]["runc"]
    assert runc["options"]["Root"].startswith(str(run.root))


def test_the_registrys_name_leads_to_this_machine(plan: Plan) -> None:
    parsed = tomllib.loads(configs.registry_hosts(plan))
    assert parsed["server"] == f"http://127.0.0.1:{plan.ports.registry}"
    assert parsed["host"][parsed["server"]]["capabilities"] == ["pull", "resolve"]


def test_the_kubelet_deletes_no_images_and_takes_either_control_group_version(
    plan: Plan, run: Run
) -> None:
    for first in (True, False):
        parsed = yaml.safe_load(configs.kubelet(plan, run, Pki(run.pki), cgroup_v1=first))
        assert parsed["failCgroupV1"] is not first
        assert parsed["imageGCHighThresholdPercent"] == 100
        assert parsed["cgroupRoot"] == plan.cgroup
        assert parsed["clusterDNS"] == ["10.245.0.10"]


def test_pods_get_addresses_of_their_range_and_packets_that_fit(plan: Plan, run: Run) -> None:
    bridge, portmap = yaml.safe_load(configs.cni(plan, run, 1400))["plugins"]
    assert bridge["mtu"] == 1400
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.0.0/24"}]]
    assert bridge["ipam"]["dataDir"].startswith(str(run.root))
    assert portmap["type"] == "portmap"


def test_names_are_looked_up_at_the_nodes_address_only(plan: Plan, run: Run) -> None:
    corefile = configs.coredns(plan, run)
    assert corefile.startswith(f".:{plan.ports.dns} {{")
    assert f"bind {plan.host_ip}" in corefile
