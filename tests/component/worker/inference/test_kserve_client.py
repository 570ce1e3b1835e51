"""kserve's own client, as it is published, against a worker of each task."""

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.component

TASKS = ("classify", "embed", "tag", "answer", "generate")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("form", ["raw", "typed"])
def test_answers_are_those_that_tritonclient_reads(
    kserve: Any, triton: Any, task: str, form: str
) -> None:
    found, expected = kserve[task][form], triton["unary"][task]["plain"]
    assert (found["id"], found["model"]) == ("one", [task, "1"])
    assert found["parameters"] == expected["parameters"]
    assert list(found["outputs"]) == list(expected["outputs"])
    for name, output in expected["outputs"].items():
        assert found["outputs"][name]["shape"] == output["shape"]
        values = found["outputs"][name]["values"]
        if output["kind"] == "f":
            np.testing.assert_allclose(values, output["values"], atol=1e-6)
        else:
            assert values == output["values"]


@pytest.mark.parametrize("task", TASKS)
def test_readiness_and_errors(kserve: Any, task: str) -> None:
    found = kserve[task]
    assert (found["live"], found["ready"], found["model_ready"]) == (True, True, True)
    assert "NOT_FOUND" in found["failure"]
    assert "not 'other'" in found["failure"]
