"""Pods and Services get ranges that nothing on the machine uses."""

from ipaddress import IPv4Network

import pytest

from localcluster import addresses
from localcluster.errors import Refused


def test_a_quiet_machine_gets_the_first_ranges() -> None:
    assert addresses.choose_ranges([]) == addresses.CANDIDATES[0]


@pytest.mark.parametrize("taken", ["10.244.0.0/16", "10.245.3.0/24", "10.244.0.7/32"])
def test_ranges_in_use_are_avoided(taken: str) -> None:
    assert addresses.choose_ranges([IPv4Network(taken)]) == addresses.CANDIDATES[1]


def test_a_machine_that_routes_everything_is_refused() -> None:
    with pytest.raises(Refused, match="overlaps"):
        addresses.choose_ranges([IPv4Network("10.0.0.0/8")])


def test_service_addresses_are_the_usual_ones() -> None:
    ranges = addresses.Ranges("10.244.0.0/24", "10.245.0.0/16")
    assert (ranges.kubernetes, ranges.dns) == ("10.245.0.1", "10.245.0.10")
