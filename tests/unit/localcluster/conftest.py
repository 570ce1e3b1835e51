"""A plan and a folder, as every pure part takes them."""

from pathlib import Path

import pytest

from localcluster.addresses import Ranges
from localcluster.paths import Cache, Run
from localcluster.plan import Options, Plan
from localcluster.ports import Ports, allocate


@pytest.fixture
def ports() -> Ports:
    return allocate("demo", lambda port: True)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path)


@pytest.fixture
def run(cache: Cache) -> Run:
    return cache.run("demo")


@pytest.fixture
def plan(ports: Ports) -> Plan:
    return Plan(
        name="demo",
        options=Options(),
        host_ip="192.0.2.7",
        ports=ports,
        ranges=Ranges("10.244.0.0/24", "10.245.0.0/16"),
    )
