"""Packet filter chains: those that kube-proxy, kubelet and CNI made, and how to take them away."""

from collections.abc import Collection, Iterator
from itertools import pairwise

from localcluster.commands import run

FAMILIES = ("iptables", "ip6tables")
PREFIXES = ("KUBE-", "CNI-")


def chains(saved: str) -> list[tuple[str, str]]:
    """Return (table, chain) of every chain that a node makes, out of iptables-save's output."""
    return [
        (table, line[1:].split()[0])
        for table, line in _by_table(saved)
        if line.startswith(":") and line[1:].startswith(PREFIXES)
    ]


def removal(saved: str, foreign: Collection[tuple[str, str]]) -> str:
    """Return input for iptables-restore that removes all such chains but the foreign ones."""
    ours = [chain for chain in chains(saved) if chain not in foreign]
    script = []
    for table in dict.fromkeys(table for table, _ in ours):
        names = [name for of, name in ours if of == table]
        jumps = [
            "-D" + line[2:]
            for of, line in _by_table(saved)
            if of == table and _leads_to(line, names) and line.split()[1] not in names
        ]
        script += [f"*{table}", *jumps]
        # Chains refer to one another: all are emptied before the first is deleted.
        script += [f"-F {name}" for name in names] + [f"-X {name}" for name in names]
        script.append("COMMIT")
    return "".join(f"{line}\n" for line in script)


def present(family: str) -> list[tuple[str, str]]:
    """Return the chains that are on this machine now."""
    return chains(_saved(family))


def clear(family: str, foreign: Collection[tuple[str, str]]) -> None:
    """Remove all chains of nodes but the foreign ones."""
    script = removal(_saved(family), foreign)
    if script:
        run([f"{family}-restore", "--noflush", "--wait"], input=script)


def _saved(family: str) -> str:
    return run([f"{family}-save"], check=False).stdout


def _by_table(saved: str) -> Iterator[tuple[str, str]]:
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith((":", "-A ")):
            yield table, line


def _leads_to(line: str, names: Collection[str]) -> bool:
    words = line.split()
    return line.startswith("-A ") and any(
        flag in ("-j", "-g") and target in names for flag, target in pairwise(words)
    )


def traces(family: str, network: str) -> list[str]:
    """Return what of a node of ours is in the packet filter: its chains, and rules naming it."""
    saved = _saved(family)
    found = [f"chain {name}" for _, name in chains(saved) if name.startswith("KUBE-")]
    return found + [f"rule {line}" for _, line in _by_table(saved) if network in line]
