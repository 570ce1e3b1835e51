"""Locks: they satisfy pyproject.toml, agree with each other, and name no address."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "requirements"
HASHED = ("test", "operator", "worker", "build")
IMAGES = ("operator", "worker")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TORCH = re.compile(r"torch|triton|nvidia-.*|cuda-.*")


def pins(name: str) -> dict[str, str]:
    """Versions by canonical name."""
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE)
    return {canonicalize_name(package): version for package, version in found}


def wanted(*extras: str) -> list[Requirement]:
    """Requirements of the package with these extras."""
    project = PROJECT["project"]
    optional = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in extras for line in optional[extra])]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        ("test", wanted("operator", "worker", "dev")),
        ("operator", wanted("operator")),
        ("worker", [item for item in wanted("worker") if item.name != "torch"]),
        ("build", [Requirement(line) for line in PROJECT["build-system"]["requires"]]),
        ("test", [Requirement(line) for line in PROJECT["build-system"]["requires"]]),
    ],
    ids=["test", "operator", "worker", "build", "test-build"],
)
def test_lock_satisfies_the_project(lock: str, requirements: list[Requirement]) -> None:
    found = pins(lock)
    assert requirements
    for requirement in requirements:
        version = found.get(canonicalize_name(requirement.name), "")
        assert version, f"{lock}.txt lacks {requirement}: run make lock"
        assert requirement.specifier.contains(version, prereleases=True), (
            f"{lock}.txt has {requirement.name} {version}, not {requirement}: run make lock"
        )


@pytest.mark.parametrize("lock", [*IMAGES, "build"])
def test_images_run_what_the_tests_ran_with(lock: str) -> None:
    tested = pins("test")
    differing = {
        package: (version, tested[package])
        for package, version in pins(lock).items()
        if tested.get(package, version) != version
    }
    assert not differing


def test_constraints_are_the_tested_versions() -> None:
    assert pins("constraints") == pins("test")
    assert "--hash" not in (FOLDER / "constraints.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("lock", IMAGES)
def test_no_image_lock_brings_torch(lock: str) -> None:
    assert not [package for package in pins(lock) if TORCH.fullmatch(package)]


@pytest.mark.parametrize("lock", HASHED)
def test_every_pin_has_hashes(lock: str) -> None:
    text = (FOLDER / f"{lock}.txt").read_text(encoding="utf-8")
    entries = re.findall(r"^\S+==.*(?:\n .*)*", text, re.MULTILINE)
    assert len(entries) == len(pins(lock)) > 0
    assert all("--hash=sha256:" in entry for entry in entries)


def test_no_address_is_in_a_lock() -> None:
    address = re.compile(r"://|--(extra-)?index-url|--find-links|--trusted-host|^[^#]*\s@\s")
    files = [path for path in FOLDER.iterdir() if path.suffix in (".txt", ".in")]
    assert len(files) >= 7
    for path in files:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert not [line for line in lines if address.search(line)], path.name
