"""What `helm test` runs, from outside the cluster: it passes and fails for the right reason."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from lepton_testing.chart import CHART, only, render

from .conftest import Release

pytestmark = pytest.mark.cluster

ACCOUNT = "nobody-in-particular"


@pytest.fixture(scope="session")
def script() -> ModuleType:
    """The script that the test's pod runs."""
    spec = importlib.util.spec_from_file_location("check", CHART / "files" / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def account(release: Release, tmp_path: Path) -> Path:
    """Token and authority, as a pod finds them, of a ServiceAccount without any rights."""
    cluster, where = release.cluster, ("-n", release.namespace)
    cluster.kubectl("create", "serviceaccount", ACCOUNT, *where)
    token = cluster.kubectl("create", "token", ACCOUNT, *where).stdout
    (tmp_path / "token").write_text(token)
    authority = cluster.get("configmap", "kube-root-ca.crt", *where)["data"]["ca.crt"]
    (tmp_path / "ca.crt").write_text(authority)
    return tmp_path


def test_the_check_passes_once_the_api_is_served(
    release: Release, account: Path, script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"metrics": {"enabled": False}}
    [container] = only(render(values), "Pod")["spec"]["containers"]
    client = script.Client(release.cluster.server, str(account))
    assert script.main(container["args"], client, 0) == 1
    assert "/apis/lepton.ai/v1alpha1: 404" in capsys.readouterr().err
    release.install(values)
    release.await_definition()
    assert script.main(container["args"], client, 30) == 0


def test_the_check_fails_when_the_metrics_api_is_registered_and_does_not_answer(
    release: Release, account: Path, script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    [container] = only(render(), "Pod")["spec"]["containers"]
    release.install()
    release.await_definition()
    client = script.Client(release.cluster.server, str(account))
    assert script.main(container["args"], client, 1) == 1
    told = capsys.readouterr()
    assert "/apis/lepton.ai/v1alpha1: serves leptonmodels" in told.out
    assert "/apis/external.metrics.k8s.io/v1beta1: 503" in told.err
