"""Every cluster gets ports of its own, the same ones each time where they are free."""

import dataclasses
import socket

import pytest

from localcluster import ports
from localcluster.errors import Refused


def everything_free(port: int) -> bool:
    return True


def test_a_name_gets_the_same_ports_again() -> None:
    assert ports.allocate("demo", everything_free) == ports.allocate("demo", everything_free)


def test_two_names_get_different_ports() -> None:
    one = set(dataclasses.astuple(ports.allocate("demo", everything_free)))
    other = set(dataclasses.astuple(ports.allocate("pytest-17", everything_free)))
    assert len(one) == len(dataclasses.fields(ports.Ports))
    assert not one & other


def test_a_block_with_one_port_taken_is_left_alone() -> None:
    wanted = ports.allocate("demo", everything_free)
    moved = ports.allocate("demo", lambda port: port != wanted.kubelet)
    assert not set(dataclasses.astuple(wanted)) & set(dataclasses.astuple(moved))


def test_ports_stay_below_node_ports() -> None:
    for number in range(200):
        found = dataclasses.astuple(ports.allocate(f"name-{number}", everything_free))
        assert ports.FIRST <= min(found) <= max(found) < ports.END


def test_a_machine_without_free_ports_is_refused() -> None:
    with pytest.raises(Refused, match="ports in a row"):
        ports.allocate("demo", lambda port: False)


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not ports.is_free(server.getsockname()[1])
