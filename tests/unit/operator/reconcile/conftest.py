"""A cluster with one model, and an operator that has not seen it yet."""

import pytest

from lepton_operator.reconcile.model import Reconciler
from lepton_testing.fake_cluster import FakeCluster
from lepton_testing.objects import a_model
from lepton_testing.passes import an_operator


@pytest.fixture
def cluster() -> FakeCluster:
    found = FakeCluster()
    found.put(a_model())
    return found


@pytest.fixture
def operator(cluster: FakeCluster) -> Reconciler:
    return an_operator(cluster)
