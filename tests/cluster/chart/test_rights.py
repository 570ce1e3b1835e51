"""What the installed ServiceAccounts may do, as the real API server decides it."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pytest

from lepton_testing.chart import METRICS_API
from localcluster.cluster import Cluster

from .conftest import Release

pytestmark = pytest.mark.cluster

HOME, TEAM, OTHER = "HOME", "TEAM", "OTHER"
"""Namespaces: of the installation, a watched one, and one that is watched in cluster mode alone."""

EVERYWHERE = ""


@dataclass(frozen=True)
class Act:
    """One verb on one resource, in one of the namespaces above; EVERYWHERE asks for all."""

    verb: str
    group: str
    resource: str
    place: str = TEAM
    name: str = ""

    @property
    def attributes(self) -> dict[str, str]:
        """In the words of a SubjectAccessReview, the namespace still in ours."""
        resource, _, subresource = self.resource.partition("/")
        return {
            "verb": self.verb,
            "group": self.group,
            "resource": resource,
            "subresource": subresource,
            "name": self.name,
            "namespace": self.place,
        }


def acts(
    verbs: str, group: str, resources: str, place: str = TEAM, name: str = ""
) -> Iterator[Act]:
    """Every verb on every resource, both given as words."""
    for resource in resources.split():
        for verb in verbs.split():
            yield Act(verb, group, resource, place, name)


RBAC = "roles rolebindings clusterroles clusterrolebindings"
READ = "get list watch"
WRITE = "create update patch delete deletecollection"
CERTIFICATE = "lepton-metrics-tls"
FRONT_PROXY = "extension-apiserver-authentication"

OPERATOR_MAY = [
    *acts(READ, "lepton.ai", "leptonmodels"),
    *acts("patch", "lepton.ai", "leptonmodels/status"),
    *acts("update", "lepton.ai", "leptonmodels/finalizers"),
    *acts(f"{READ} create patch", "apps", "deployments"),
    *acts(f"{READ} create patch", "", "services serviceaccounts"),
    *acts(f"{READ} create patch delete", "autoscaling", "horizontalpodautoscalers"),
    *acts(f"{READ} create patch delete", "policy", "poddisruptionbudgets"),
    *acts("patch", "apps", "deployments/scale"),
    *acts("list watch", "", "pods"),
    *acts("create", "events.k8s.io", "events"),
]
OPERATOR_MAY_CLUSTER_WIDE = [
    *acts("list watch", "apiregistration.k8s.io", "apiservices", EVERYWHERE, METRICS_API),
]
OPERATOR_MUST_NOT = [
    *acts(f"{READ} {WRITE}", "", "secrets configmaps"),
    *acts(f"{READ} {WRITE}", "", "secrets", HOME, CERTIFICATE),
    *acts(f"get {WRITE}", "", "pods"),
    *acts("get create", "", "pods/exec pods/attach pods/portforward pods/proxy pods/log"),
    *acts("create patch update", "", "pods/eviction pods/ephemeralcontainers pods/resize"),
    *acts(WRITE, "lepton.ai", "leptonmodels"),
    *acts("delete update deletecollection", "apps", "deployments"),
    *acts("delete update", "", "services serviceaccounts"),
    *acts("get update", "apps", "deployments/scale"),
    *acts(f"{READ} {WRITE}", "apps", "statefulsets daemonsets replicasets"),
    *acts(f"{READ} {WRITE}", "batch", "jobs cronjobs"),
    *acts("create", "", "serviceaccounts/token"),
    *acts(f"{READ} {WRITE} bind escalate", "rbac.authorization.k8s.io", RBAC),
    *acts("impersonate", "", "users groups serviceaccounts", EVERYWHERE),
    *acts(f"{READ} {WRITE}", "", "nodes namespaces persistentvolumes", EVERYWHERE),
    *acts("get proxy", "", "nodes/proxy nodes/log nodes/exec", EVERYWHERE),
    *acts(f"{READ} {WRITE}", "apiextensions.k8s.io", "customresourcedefinitions", EVERYWHERE),
    *acts(WRITE, "apiregistration.k8s.io", "apiservices", EVERYWHERE, METRICS_API),
    *acts(READ, "apiregistration.k8s.io", "apiservices", EVERYWHERE, "v1.apps"),
    *acts(READ, "apiregistration.k8s.io", "apiservices", EVERYWHERE),
    *acts(WRITE, "admissionregistration.k8s.io", "mutatingwebhookconfigurations", EVERYWHERE),
    *acts(WRITE, "admissionregistration.k8s.io", "validatingwebhookconfigurations", EVERYWHERE),
    *acts("create", "authentication.k8s.io", "tokenreviews", EVERYWHERE),
    *acts("create", "authorization.k8s.io", "subjectaccessreviews", EVERYWHERE),
    *acts("create approve sign", "certificates.k8s.io", "certificatesigningrequests", EVERYWHERE),
    Act("*", "*", "*", EVERYWHERE),
]

METRICS_MAY = [*acts("list watch", "discovery.k8s.io", "endpointslices")]
METRICS_MAY_AT_HOME = [
    *acts("get list watch update", "", "secrets", HOME, CERTIFICATE),
    *acts("get list watch", "", "configmaps", "kube-system", FRONT_PROXY),
    *acts("list watch patch", "apiregistration.k8s.io", "apiservices", EVERYWHERE, METRICS_API),
]
METRICS_MUST_NOT = [
    *acts("create delete patch deletecollection", "", "secrets", HOME, CERTIFICATE),
    *acts(f"{READ} {WRITE}", "", "secrets", HOME),
    *acts(f"{READ} {WRITE}", "", "secrets", HOME, "another"),
    *acts(f"{READ} {WRITE}", "", "secrets", TEAM, CERTIFICATE),
    *acts(WRITE, "", "configmaps", "kube-system", FRONT_PROXY),
    *acts(READ, "", "configmaps", "kube-system", "another"),
    *acts(f"{READ} {WRITE}", "", "pods services endpoints"),
    *acts(f"get {WRITE}", "discovery.k8s.io", "endpointslices"),
    *acts(f"{READ} {WRITE}", "lepton.ai", "leptonmodels"),
    *acts(f"{READ} {WRITE}", "apps", "deployments deployments/scale"),
    *acts(f"{READ} {WRITE}", "autoscaling", "horizontalpodautoscalers"),
    *acts("create delete update", "apiregistration.k8s.io", "apiservices", EVERYWHERE, METRICS_API),
    *acts("patch", "apiregistration.k8s.io", "apiservices", EVERYWHERE, "v1.apps"),
    *acts("create", "authentication.k8s.io", "tokenreviews", EVERYWHERE),
    *acts("create", "authorization.k8s.io", "subjectaccessreviews", EVERYWHERE),
    *acts(f"{READ} {WRITE} bind escalate", "rbac.authorization.k8s.io", RBAC),
]


@dataclass(frozen=True)
class Installed:
    """An installation and what its namespaces are really called."""

    cluster: Cluster
    names: dict[str, str]

    def allowed(self, account: str, asked: Iterable[Act]) -> set[Act]:
        """Those acts that the API server would let the installation's ServiceAccount do."""
        home = self.names[HOME]
        asked = list(asked)
        user = {
            "user": f"system:serviceaccount:{home}:{account}",
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{home}",
                       "system:authenticated"],
        }  # fmt: skip
        reviews = [
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {**user, "resourceAttributes": self._named(act.attributes)},
            }
            for act in asked
        ]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
        verdict = 'jsonpath={.status.allowed}{"\\n"}'
        answers = self.cluster.kubectl("create", "-f", "-", "-o", verdict, input=text).stdout
        pairs = zip(asked, answers.split(), strict=True)
        return {act for act, answer in pairs if answer == "true"}

    def _named(self, attributes: dict[str, str]) -> dict[str, str]:
        place = attributes["namespace"]
        return {**attributes, "namespace": self.names.get(place, place)}

    def as_account(self, account: str, *command: str) -> str:
        """Run kubectl as the ServiceAccount."""
        user = f"--as=system:serviceaccount:{self.names[HOME]}:{account}"
        return self.cluster.kubectl(*command, user).stdout


def placed(asked: Iterable[Act], place: str) -> list[Act]:
    """The same acts somewhere else, as far as they are about the watched namespace."""
    return [
        Act(act.verb, act.group, act.resource, place, act.name)
        for act in asked
        if act.place == TEAM
    ]


@pytest.fixture
def cluster_wide(release: Release, space: Callable[[], str]) -> Installed:
    """An installation that watches all namespaces."""
    release.install()
    return Installed(release.cluster, {HOME: release.namespace, TEAM: space(), OTHER: space()})


@pytest.fixture
def namespaced(release: Release, space: Callable[[], str]) -> Installed:
    """An installation that watches TEAM alone."""
    team, other = space(), space()
    release.install({"watchNamespaces": [team]})
    return Installed(release.cluster, {HOME: release.namespace, TEAM: team, OTHER: other})


ACCOUNTS = [
    ("lepton-operator", [*OPERATOR_MAY, *OPERATOR_MAY_CLUSTER_WIDE], OPERATOR_MUST_NOT),
    ("lepton-metrics", [*METRICS_MAY, *METRICS_MAY_AT_HOME], METRICS_MUST_NOT),
]


@pytest.mark.parametrize(("account", "may", "must_not"), ACCOUNTS)
def test_accounts_may_do_their_work_and_no_more(
    cluster_wide: Installed, account: str, may: list[Act], must_not: list[Act]
) -> None:
    everywhere = placed(may, EVERYWHERE)
    wanted = {*may, *everywhere, *placed(may, OTHER)}
    assert everywhere
    assert wanted - cluster_wide.allowed(account, wanted) == set()
    refused = {*must_not, *placed(must_not, EVERYWHERE), *placed(must_not, HOME)} - set(may)
    assert cluster_wide.allowed(account, refused) == set()


@pytest.mark.parametrize(("account", "may", "must_not"), ACCOUNTS)
def test_in_namespaced_mode_the_same_holds_in_the_watched_namespace_alone(
    namespaced: Installed, account: str, may: list[Act], must_not: list[Act]
) -> None:
    assert set(may) - namespaced.allowed(account, may) == set()
    outside = {
        act for place in (OTHER, HOME, EVERYWHERE) for act in placed([*may, *must_not], place)
    }
    assert len(outside) > 50
    assert namespaced.allowed(account, {*must_not, *outside} - set(may)) == set()


def test_workers_and_the_test_pod_have_no_rights(cluster_wide: Installed) -> None:
    asked = {*OPERATOR_MAY, *METRICS_MAY, *METRICS_MAY_AT_HOME, *OPERATOR_MUST_NOT}
    for account in ("default", "lepton-test"):
        assert cluster_wide.allowed(account, asked) == set()


def test_single_objects_are_read_through_lists_that_select_them(cluster_wide: Installed) -> None:
    def listed(account: str, kind: str, name: str, *where: str) -> str:
        selector = f"--field-selector=metadata.name={name}"
        return cluster_wide.as_account(account, "get", kind, selector, "-o", "name", *where)

    home = ("-n", cluster_wide.names[HOME])
    assert CERTIFICATE in listed("lepton-metrics", "secrets", CERTIFICATE, *home)
    system = ("-n", "kube-system")
    assert FRONT_PROXY in listed("lepton-metrics", "configmaps", FRONT_PROXY, *system)
    for account in ("lepton-metrics", "lepton-operator"):
        assert METRICS_API in listed(account, "apiservices", METRICS_API)
