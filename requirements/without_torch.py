"""Prints what the worker's image installs besides torch, which its base or its builder brings.

Torch alone decides the size of the image and the hardware it runs on, so that it has a choice of
its own (`Dockerfile.worker`); everything else is locked in `worker.txt`.
"""

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: dict[str, dict[str, object]]) -> list[str]:
    """Requirements of the package and of its extra `worker`, without torch."""
    project = pyproject["project"]
    always, extras = project["dependencies"], project["optional-dependencies"]
    assert isinstance(always, list)
    assert isinstance(extras, dict)
    return [line for line in always + extras["worker"] if not line.startswith("torch")]


if __name__ == "__main__":
    source = Path(__file__).parents[1] / "pyproject.toml"
    sys.stdout.write("\n".join(requirements(tomllib.loads(source.read_text()))) + "\n")
