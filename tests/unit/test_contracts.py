"""What separate parts have to agree on, and what the whole tree promises."""

import ast
import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from lepton_operator import __version__ as operator_version
from lepton_operator.api import conditions, names
from lepton_operator.desired import pod
from lepton_worker import __version__ as worker_version
from lepton_worker import errors, settings
from lepton_worker.serving import server

ROOT = Path(__file__).parents[2]
SOURCES = ("operator", "worker", "demo", "benchmarks", "tests")
GENERATED = re.compile(r"_pb2(_grpc)?\.py$")
MOST_LINES = 330  # "about 300"


def modules() -> Iterator[Path]:
    """Every module that people write."""
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")):
            if not GENERATED.search(path.name):
                yield path


def test_no_source_root_is_a_package() -> None:
    # operator/__init__.py would shadow the standard library's module `operator`.
    for root in ("operator", "worker", "protos"):
        assert not (ROOT / root / "__init__.py").exists()


def test_the_worker_reads_every_variable_that_the_operator_sets() -> None:
    told = {value for key, value in vars(names).items() if key.startswith("ENV_")}
    read = {f"LEPTON_{field.name.upper()}" for field in dataclasses.fields(settings.Settings)}
    assert told
    assert told <= read


def test_health_services_and_ports_are_the_same_on_both_sides() -> None:
    assert (server.LIVENESS, server.READINESS) == (names.HEALTH_LIVENESS, names.HEALTH_READINESS)
    defaults = settings.Settings()
    assert (defaults.grpc_port, defaults.metrics_port) == (names.PORT_GRPC, names.PORT_METRICS)


def test_the_operator_knows_every_last_word_of_a_worker() -> None:
    known = {reason.value for reason in conditions.Reason}
    spoken = {kind.reason for kind in subclasses(errors.LoadError)}
    assert spoken
    assert spoken <= known


def subclasses(kind: type[errors.LoadError]) -> list[type[errors.LoadError]]:
    """All classes below `kind`."""
    found = kind.__subclasses__()
    return [*found, *(deeper for each in found for deeper in subclasses(each))]


def test_the_grace_period_is_longer_than_the_drain_and_below_what_autoscalers_cut() -> None:
    longest = 570
    assert pod.GRACE_AFTER_DRAIN > 0
    assert longest + pod.GRACE_AFTER_DRAIN <= 600


def test_versions_are_one() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    found = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    assert found is not None
    assert {operator_version, worker_version} == {found[1]}
    chart = (ROOT / "deploy/helm/lepton/Chart.yaml").read_text()
    assert re.search(rf'^appVersion: "?{re.escape(found[1])}"?$', chart, re.MULTILINE)


def compile_protos(*arguments: str) -> None:
    """Run protoc as `make generate` does."""
    include = subprocess.run(
        [
            sys.executable,
            "-c",
            "import google.rpc; print(list(google.rpc.__path__)[0])",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", "protos"]
    include_path = str(Path(include).parents[1])
    subprocess.run([*command, "-I", include_path, *arguments], cwd=ROOT, check=True)


def test_stubs_are_what_the_protos_generate(tmp_path: Path) -> None:
    protos = sorted((ROOT / "protos/lepton").rglob("*.proto"))
    compile_protos(
        *(f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")),
        *(str(path.relative_to(ROOT)) for path in protos),
    )
    made = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.py*")}
    assert made
    for path, content in made.items():
        assert (ROOT / "protos" / path).read_text() == content, f"{path}: run make generate"


@pytest.mark.parametrize(("name", "proto"), [("inference", "inference"), ("orca", "service")])
def test_descriptor_sets_are_what_the_protos_generate(
    tmp_path: Path, name: str, proto: str
) -> None:
    made = tmp_path / "made.binpb"
    compile_protos("--include_imports", f"--descriptor_set_out={made}", f"{name}/{proto}.proto")
    kept = ROOT / f"worker/lepton_worker/serving/descriptors/{name}.binpb"
    assert kept.read_bytes() == made.read_bytes(), "run make generate"
    described = descriptor_pb2.FileDescriptorSet.FromString(kept.read_bytes())
    files = {file.name for file in described.file}
    assert {f"{name}/{path.name}" for path in (ROOT / "protos" / name).iterdir()} <= files


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_owns_and_stays_short(path: Path) -> None:
    text = path.read_text()
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "begin with a docstring that says what it owns"
    table = path.name == "types.py" or path.name.startswith("test_")  # descriptions, cases
    allowed = MOST_LINES + 100 if table else MOST_LINES
    assert len(text.splitlines()) <= allowed


def test_no_file_names_a_package_host() -> None:
    hosts = re.compile(r"pypi\.org|pythonhosted|proxy\.golang|deb\.debian|registry\.npmjs")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and path != Path(__file__):
            assert not hosts.search(path.read_text(errors="ignore")), name
