"""LeptonModel and settings → manifests of the children: values in, values out."""

from lepton_operator.api.conditions import Reason
from lepton_operator.api.names import ANNOTATION_APPLIED
from lepton_operator.api.objects import Object, digest
from lepton_operator.api.types import LeptonModel
from lepton_operator.desired import pod, services, source, workload
from lepton_operator.desired.autoscaler import autoscaler, budget
from lepton_operator.desired.merge import NotMergeable
from lepton_operator.settings import Settings


class Refused(Exception):
    """The spec cannot be carried out; becomes the condition Accepted."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def children(model: LeptonModel, settings: Settings, *, scaled_by_other: bool) -> list[Object]:
    """Manifests in the order in which they are applied, each with the digest of itself.

    `scaled_by_other`: somebody else's autoscaler targets the Deployment, so that we want none.
    Raises Refused.
    """
    place = source.parse(model.spec.source)
    if place.on_node and not settings.node_paths:
        raise Refused(
            Reason.SOURCE_NOT_ALLOWED,
            f"spec.source is a folder of the node ({model.spec.source}), which this installation "
            "does not allow: use hf:// or pvc://, or install with nodePaths.enabled=true",
        )
    try:
        template = pod.template(model, place, settings)
    except NotMergeable as error:
        raise Refused(Reason.INVALID_SPEC, str(error)) from error
    wanted = [
        workload.service_account(model),
        services.service(model),
        services.headless_service(model),
        workload.deployment(model, template),
    ]
    if not scaled_by_other:
        wanted.append(autoscaler(model))
    if model.spec.scaling.max_replicas > 1:
        wanted.append(budget(model))
    return [_stamped(manifest) for manifest in wanted]


def _stamped(manifest: Object) -> Object:
    mark = {ANNOTATION_APPLIED: digest(manifest)}
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": mark}}
