"""Addresses: which one this machine is reached by, and ranges for pods and Services beside it."""

import ipaddress
import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from localcluster.commands import run
from localcluster.errors import Refused

Network = ipaddress.IPv4Network


@dataclass(frozen=True)
class Ranges:
    """Address ranges of a cluster."""

    pods: str
    services: str

    @property
    def kubernetes(self) -> str:
        """The address of the API server's own Service."""
        return str(Network(self.services)[1])

    @property
    def dns(self) -> str:
        """The address of the DNS Service."""
        return str(Network(self.services)[10])


CANDIDATES = tuple(Ranges(f"10.{n}.0.0/24", f"10.{n + 1}.0.0/16") for n in range(244, 100, -2))


def choose_ranges(taken: Iterable[Network]) -> Ranges:
    """Return the first ranges that overlap with nothing the machine routes."""
    used = tuple(taken)
    for ranges in CANDIDATES:
        wanted = (Network(ranges.pods), Network(ranges.services))
        if not any(one.overlaps(other) for one in wanted for other in used):
            return ranges
    raise Refused("every range tried for pods and Services overlaps with a route of this machine")


def routed() -> list[Network]:
    """Return the networks this machine has routes to, the default route left out."""
    routes = json.loads(run(["ip", "-4", "-json", "route"]).stdout or "[]")
    return [Network(route["dst"], strict=False) for route in routes if route["dst"] != "default"]


def host_ip() -> str:
    """Return the non-loopback address by which pods and components reach this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a datagram socket sends nothing; it only chooses the route.
            probe.connect(("198.51.100.1", 9))
            address = str(probe.getsockname()[0])
        except OSError:
            address = "127.0.0.1"
    if ipaddress.ip_address(address).is_loopback:
        raise Refused(
            "this machine has no address but loopback, and endpoints may not be loopback: add one, "
            "as with: ip link add dummy0 type dummy && ip addr add 192.0.2.10/24 dev dummy0 "
            "&& ip link set dummy0 up && ip route add default dev dummy0"
        )
    return address


def link_mtu(address: str) -> int:
    """Return the MTU of the link that holds an address; pods must not send larger packets."""
    links = json.loads(run(["ip", "-4", "-json", "address"]).stdout)
    for link in links:
        if any(info.get("local") == address for info in link.get("addr_info", [])):
            return int(link["mtu"])
    return 1500
