"""A plan survives being written down."""

from dataclasses import asdict, replace

from localcluster import plan as plans
from localcluster.paths import Run
from localcluster.plan import Options, Plan
from localcluster.processes import Process


def test_a_plan_is_read_as_it_was_written(plan: Plan, run: Run) -> None:
    decided = replace(
        plan,
        owner=Process(17, 4711),
        options=Options(node=False, feature_gates={"A": True}, flags={"kubelet": {"v": "2"}}),
    )
    plans.save(decided, run.plan)
    assert plans.load(run.plan) == decided


def test_where_nothing_was_written_there_is_no_plan(run: Run) -> None:
    assert plans.load(run.plan) is None


def test_a_plan_of_another_version_is_read_too(plan: Plan) -> None:
    raw = asdict(plan)
    del raw["ports"]["simulation"]
    raw["ports"]["no_longer"] = 1
    raw["options"] = {"node": True, "no_longer": 1}
    found = plans.parse(raw)
    assert found == replace(plan, ports=replace(plan.ports, simulation=0))
