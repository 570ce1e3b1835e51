"""The version of the project is the same wherever it is written down."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def test_chart_has_the_version_of_the_package() -> None:
    chart = yaml.safe_load((ROOT / "deploy/helm/lepton/Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)


def test_images_are_labelled_with_the_version_of_the_package() -> None:
    for name in ("Dockerfile.operator", "Dockerfile.worker"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert re.findall(r"^ARG VERSION=(.*)$", text, re.MULTILINE) == [VERSION]
