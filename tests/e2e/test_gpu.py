"""Models that ask for GPUs go where a node advertises them, and wait with clear words elsewhere."""

import pytest

from lepton_testing.installation import Installation, a_model

pytestmark = pytest.mark.e2e


def gpu_model(name: str, image: str) -> dict[str, object]:
    """A model with one GPU; the image is the CPU one, since the test's GPUs exist in name only."""
    model = a_model(
        name, podTemplate={"spec": {"containers": [{"name": "worker", "image": image}]}}
    )
    model["spec"]["resources"]["gpu"] = {"count": 1}
    return model


def test_a_gpu_model_runs_where_a_node_advertises_the_resource(
    lepton: Installation, space: str, worker_image: str
) -> None:
    lepton.cluster.apply(gpu_model("with-gpu", worker_image), namespace=space)
    found = lepton.await_condition("with-gpu", space, "Available=False/Unschedulable")
    assert "nvidia.com/gpu" in found["message"]
    pods = lepton.cluster.get("pods", "-n", space, "-l", "lepton.ai/model=with-gpu")["items"]
    assert [pod["status"]["phase"] for pod in pods] == ["Pending"]

    lepton.cluster.set_gpus(1)
    try:
        lepton.await_condition("with-gpu", space, "Ready=True", timeout=180)
        pod = lepton.cluster.get("pods", "-n", space, "-l", "lepton.ai/model=with-gpu")["items"][0]
        assert pod["spec"]["nodeName"] == lepton.cluster.node_name
        assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    finally:
        lepton.cluster.kubectl("delete", "lm", "with-gpu", "-n", space)
        lepton.cluster.set_gpus(0)
