"""Which objects are watched: the same for the watches themselves and for lists beside them."""

from dataclasses import dataclass

from lepton_operator.api.names import LABEL_MODEL
from lepton_operator.api.objects import (
    API_SERVICES,
    AUTOSCALERS,
    BUDGETS,
    DEPLOYMENTS,
    METRICS_API_SERVICE,
    MODELS,
    PODS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)


@dataclass(frozen=True)
class Watched:
    """A kind, and which objects of it."""

    resource: Resource
    labels: str = ""
    fields: str = ""
    namespaced: bool = True

    @property
    def query(self) -> dict[str, str]:
        """The selectors as parameters of a request."""
        selectors = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {key: value for key, value in selectors.items() if value}


METRICS_API = Watched(API_SERVICES, fields=f"metadata.name={METRICS_API_SERVICE}", namespaced=False)

WATCHED = (
    Watched(MODELS),
    Watched(SERVICE_ACCOUNTS, LABEL_MODEL),
    Watched(SERVICES, LABEL_MODEL),
    Watched(DEPLOYMENTS, LABEL_MODEL),
    Watched(BUDGETS, LABEL_MODEL),
    Watched(PODS, LABEL_MODEL),
    # All of them: anybody's may scale our Deployment.
    Watched(AUTOSCALERS),
)
