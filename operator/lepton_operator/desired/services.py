"""The two Services of a model: one address for all workers, and the addresses of each."""

from lepton_operator.api.names import (
    ENDPOINTS_WORKERS,
    LABEL_ENDPOINTS,
    PORT_GRPC,
    PORT_METRICS,
    PORT_NAME_GRPC,
    PORT_NAME_METRICS,
    Children,
    selector,
)
from lepton_operator.api.objects import SERVICES, Object
from lepton_operator.api.types import LeptonModel
from lepton_operator.desired.head import head


def service(model: LeptonModel) -> Object:
    """One virtual address; new connections are spread over the ready workers."""
    name = Children(model.metadata.name).service
    return {**head(SERVICES, model, name), "spec": {"type": "ClusterIP", **_spec(model)}}


def headless_service(model: LeptonModel) -> Object:
    """A DNS name with all ready workers; its EndpointSlices tell the metrics API whom to ask."""
    name = Children(model.metadata.name).headless_service
    marked = head(SERVICES, model, name, **{LABEL_ENDPOINTS: ENDPOINTS_WORKERS})
    return {**marked, "spec": {"type": "ClusterIP", "clusterIP": "None", **_spec(model)}}


def _spec(model: LeptonModel) -> Object:
    ports = [
        {
            "name": PORT_NAME_GRPC,
            "port": PORT_GRPC,
            "targetPort": PORT_NAME_GRPC,
            "appProtocol": "kubernetes.io/h2c",
        },
        {"name": PORT_NAME_METRICS, "port": PORT_METRICS, "targetPort": PORT_NAME_METRICS},
    ]
    return {"selector": selector(model.metadata.name), "ports": ports}
