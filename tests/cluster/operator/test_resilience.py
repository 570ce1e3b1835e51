"""The operator killed, stopped, restarted, cut off: nothing is lost and nothing is done twice."""

import os
import random
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lepton_operator.api import crd
from lepton_operator.api.objects import Object
from lepton_testing.operator_process import OperatorProcess
from lepton_testing.space import KINDS, Space, a_model
from localcluster.cluster import Cluster

pytestmark = pytest.mark.cluster

Grant = Callable[[str], None]

MODELS = 50
KILLS = 6
LACKS_A_RIGHT = r" cannot [a-z]+ resource "
DEFINITION = crd.definition()["metadata"]["name"]


def versions(space: Space, kinds: str = f"lm,{KINDS}") -> dict[str, str]:
    """Resource version of everything that the operator writes."""
    found = space.cluster.get(kinds, "-n", space.namespace)["items"]
    mine = (item for item in found if item["metadata"]["name"] != "default")
    return {
        f"{item['kind']} {item['metadata']['name']}": item["metadata"]["resourceVersion"]
        for item in mine
    }


def await_rest(operator: OperatorProcess, space: Space, models: int) -> None:
    """Wait until it has seen all models and has nothing left to do."""

    def at_rest() -> bool:
        text = operator.ask("/metrics")[1]
        return (
            f"lepton_operator_models {float(models)}" in text
            and "lepton_operator_queue_length 0.0" in text
        )

    space.eventually(at_rest, "the operator to be at rest")


@dataclass
class Storm:
    """Creates, changes and deletes models, the same way for the same seed."""

    space: Space
    chance: random.Random
    alive: dict[str, dict[str, Any]] = field(default_factory=dict)

    def begin(self) -> None:
        """All models at once."""
        names = [f"m{index}" for index in range(MODELS)]
        self._apply({name: self._a_spec() for name in names})

    def go_on(self) -> None:
        """Change some, delete some, make some that were deleted again."""
        gone = [f"m{index}" for index in range(MODELS) if f"m{index}" not in self.alive]
        back = self.chance.sample(gone, len(gone) // 2)
        dead = self.chance.sample(sorted(self.alive), 6)
        self.space.kubectl("delete", "lm", "--wait=false", *dead)
        for name in dead:
            del self.alive[name]
        changed = self.chance.sample(sorted(self.alive), 12)
        self._apply({name: self._a_spec() for name in [*changed, *back]})

    def _a_spec(self) -> dict[str, Any]:
        return {
            "task": self.chance.choice(["generate", "classify", "embed"]),
            "scaling": {"minReplicas": 1, "maxReplicas": self.chance.choice([1, 3])},
        }

    def _apply(self, specs: dict[str, dict[str, Any]]) -> None:
        self.space.apply(*(a_model(name, **spec) for name, spec in specs.items()))
        self.alive |= specs

    def expected(self) -> set[str]:
        """Kind and name of every child that there should be."""
        result: set[str] = set()
        for name, spec in self.alive.items():
            result |= {f"{kind} {name}" for kind in ("ServiceAccount", "Service", "Deployment")}
            result |= {f"Service {name}-workers", f"HorizontalPodAutoscaler {name}"}
            if spec["scaling"]["maxReplicas"] > 1:
                result.add(f"PodDisruptionBudget {name}")
        return result

    def complaints(self) -> list[str]:
        """What is not as it should be; empty when every model has exactly its children."""
        found = self.space.cluster.get(f"lm,{KINDS}", "-n", self.space.namespace)["items"]
        models = {item["metadata"]["name"]: item for item in found if item["kind"] == "LeptonModel"}
        children = {
            f"{item['kind']} {item['metadata']['name']}": item
            for item in found
            if "ownerReferences" in item["metadata"]
        }
        wrong = [f"missing: {name}" for name in self.expected() - children.keys()]
        wrong += [f"left over: {name}" for name in children.keys() - self.expected()]
        wrong += [text for item in children.values() for text in self._judge(item, models)]
        return wrong

    def _judge(self, child: Object, models: dict[str, Object]) -> Iterator[str]:
        name = f"{child['kind']} {child['metadata']['name']}"
        (owner,) = child["metadata"]["ownerReferences"]
        model = models.get(owner["name"])
        if model is None or model["metadata"]["uid"] != owner["uid"]:
            yield f"{name} belongs to a model that is no more"
        elif child["kind"] == "Deployment":
            (container,) = child["spec"]["template"]["spec"]["containers"]
            task = next(x["value"] for x in container["env"] if x["name"] == "LEPTON_TASK")
            if task != self.alive[owner["name"]]["task"]:
                yield f"{name} has an old spec"


def until_it_wrote(operator: OperatorProcess, space: Space, more: int) -> None:
    """Wait until the operator has written so many objects more, or has nothing left to write."""
    enough = operator.log().count("carry_out") + more

    def reached() -> bool:
        if operator.log().count("carry_out") >= enough:
            return True
        return "lepton_operator_queue_length 0.0" in operator.ask("/metrics")[1]

    space.eventually(reached, "writes of the operator")


def test_killed_anywhere_in_a_storm_every_model_ends_with_exactly_its_children(
    space: Space, identity: Path, grant: Grant, tmp_path: Path
) -> None:
    grant("")
    chance = random.Random(20260102)
    storm = Storm(space, chance)
    with OperatorProcess(identity, tmp_path) as operator:
        for kill in range(KILLS):
            operator.await_ready()
            storm.go_on() if kill else storm.begin()
            # A point in its work, not in time.
            until_it_wrote(operator, space, chance.randint(1, 60))
            operator.kill()
            operator.start()
        space.eventually(lambda: not storm.complaints(), "every model to have exactly its children")
        await_rest(operator, space, len(storm.alive))
        assert storm.complaints() == []
        assert not re.search(LACKS_A_RIGHT, operator.log())


def test_a_restart_writes_nothing_when_nothing_has_changed(
    space: Space, identity: Path, grant: Grant, tmp_path: Path
) -> None:
    grant(space.namespace)
    names = [f"m{index}" for index in range(5)]
    with OperatorProcess(identity, tmp_path, [space.namespace]) as operator:
        space.apply(*(a_model(name, scaling={"maxReplicas": 2}) for name in names))
        for name in names:
            space.await_condition(name, "Available=False/Unschedulable")
            space.eventually(
                lambda name=name: space.get("hpa", name)["status"].get("conditions"),  # type: ignore[misc]
                "the autoscaler to have looked",
            )
        await_rest(operator.await_ready(), space, len(names))
        before = versions(space)
        assert operator.stop() == 0
    with OperatorProcess(identity, tmp_path, [space.namespace]) as operator:
        await_rest(operator.await_ready(), space, len(names))
        writes = {name: count for name, count in operator.calls().items() if not reads(name)}
        assert writes == {}
        assert not re.search(LACKS_A_RIGHT, operator.log())
        assert versions(space) == before


def reads(call: str) -> bool:
    return call.split()[0] in ("get", "list")


def test_it_looks_after_its_own_namespaces_only(space: Space, operator: OperatorProcess) -> None:
    with space.cluster.namespace("other") as other:
        elsewhere = Space(space.cluster, other)
        elsewhere.model("theirs")
        space.model("ours")
        space.await_children("ours", 5)
        assert elsewhere.children("theirs") == {}


def test_what_goes_while_it_is_cut_off_is_made_again(
    space: Space, operator: OperatorProcess
) -> None:
    """A watch that begins anew never mentions what was deleted in between."""
    space.model("chat")
    space.model("brief")
    space.await_children("chat", 5)
    space.await_children("brief", 5)
    os.kill(operator.pid, signal.SIGSTOP)
    space.kubectl("delete", "service", "chat")
    space.kubectl("delete", "lm", "brief")
    # The new process has not seen the deletion and refuses to go on from before it.
    space.cluster.restart("kube-apiserver")
    os.kill(operator.pid, signal.SIGCONT)
    space.await_children("chat", 5)
    space.await_children("brief", 0)
    await_rest(operator, space, 1)
    assert operator.stop() == 0


def test_it_outlives_the_api_server(space: Space, operator: OperatorProcess) -> None:
    space.model("before")
    space.await_children("before", 5)
    space.cluster.stop("kube-apiserver")
    try:
        operator.await_log("ClientConnector|Connection|no answer")
        assert operator.ask("/healthz")[0] == 200
    finally:
        space.cluster.start("kube-apiserver")
    space.model("after")
    space.await_children("after", 5)
    assert operator.stop() == 0


def test_it_waits_for_its_definition(
    space: Space, identity: Path, grant: Grant, tmp_path: Path
) -> None:
    grant(space.namespace)
    space.cluster.kubectl("delete", "crd", DEFINITION)
    try:
        with OperatorProcess(identity, tmp_path, [space.namespace]) as operator:
            operator.await_log("waiting for its CRD")
            assert operator.ask("/readyz")[0] == 503
            assert operator.ask("/healthz") == (200, "ok")
            define(space.cluster)
            space.model("chat")
            space.await_children("chat", 5)
            # Without it there is nothing left to watch: whoever started it starts it again.
            space.cluster.kubectl("delete", "crd", DEFINITION)
            assert operator.wait() == 1
    finally:
        define(space.cluster)


def define(cluster: Cluster) -> None:
    cluster.apply(crd.text())
    cluster.wait(f"crd/{DEFINITION}", "Established")
    cluster.eventually(
        lambda: cluster.kubectl("get", "lm", "-A", check=False).returncode == 0,
        "LeptonModels to be served",
    )


def test_without_an_image_it_refuses_to_start(tmp_path: Path, identity: Path) -> None:
    with OperatorProcess(identity, tmp_path, worker_image="") as operator:
        assert operator.wait() == 1
        assert "LEPTON_WORKER_IMAGE is not set; set it to the image" in operator.log()
