"""Of packet filter rules, exactly those of our node go."""

from localcluster import firewall

SAVED = """\
# Generated
*nat
:POSTROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
:CNI-1 - [0:0]
:CNI-2 - [0:0]
:DOCKER - [0:0]
-A POSTROUTING -s 10.244.0.2/32 -m comment --comment "name: \\"lepton-localcluster\\"" -j CNI-1
-A POSTROUTING -s 10.9.0.2/32 -j CNI-2
-A OUTPUT -m comment --comment "service portals" -j KUBE-SERVICES
-A OUTPUT -j DOCKER
-A KUBE-SERVICES -d 10.245.0.1/32 -j KUBE-SVC-A
COMMIT
*filter
:INPUT ACCEPT [0:0]
-A INPUT -j ACCEPT
COMMIT
"""


def test_chains_of_nodes_are_found_with_their_table() -> None:
    names = [name for table, name in firewall.chains(SAVED) if table == "nat"]
    assert names == ["KUBE-SERVICES", "KUBE-SVC-A", "CNI-1", "CNI-2"]


def test_jumps_go_before_chains_and_others_stay() -> None:
    script = firewall.removal(SAVED, {("nat", "CNI-2")}).splitlines()
    assert script == [
        "*nat",
        '-D POSTROUTING -s 10.244.0.2/32 -m comment --comment "name: \\"lepton-localcluster\\""'
        " -j CNI-1",
        '-D OUTPUT -m comment --comment "service portals" -j KUBE-SERVICES',
        "-F KUBE-SERVICES",
        "-F KUBE-SVC-A",
        "-F CNI-1",
        "-X KUBE-SERVICES",
        "-X KUBE-SVC-A",
        "-X CNI-1",
        "COMMIT",
    ]


def test_where_nothing_is_ours_nothing_is_done() -> None:
    assert firewall.removal("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n", set()) == ""
