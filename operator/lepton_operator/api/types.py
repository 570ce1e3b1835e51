"""The LeptonModel: fields, defaults, bounds, rules and their descriptions.

The only home of each: the CRD and its reference page are generated from here, and field
descriptions are what `kubectl explain` shows. Rules are CEL that the API server enforces itself, so
that no webhook is needed; every string and list that a rule reads is bounded, because the API
server refuses rules whose cost it cannot bound.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from lepton_operator.api.behavior import default_behavior
from lepton_operator.api.names import LIMIT_NAME
from lepton_operator.api.rules import Rule, validated

Quantity = Annotated[
    int | str, Field(json_schema_extra={"x-kubernetes-int-or-string": True, "maxLength": 64})
]
"""Kubernetes quantity: `4`, `500m`, `16Gi`."""

IntOrPercent = Annotated[
    int | str,
    Field(json_schema_extra={"x-kubernetes-int-or-string": True, "pattern": r"^([0-9]+|[0-9]+%)$"}),
]

Open = Annotated[
    dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
]
"""A Kubernetes structure that we pass on; the API server checks it where it is used."""

Quantities = Annotated[dict[str, Quantity], Field(max_length=32)]


class Part(BaseModel):
    """A structure of the API: camelCase outside, snake_case inside, immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
        frozen=True,
        extra="ignore",
    )


class Speculation(Part):
    """How tokens are guessed ahead."""

    model_config = validated(
        Rule(
            "(self.method == 'assistant') == has(self.model)",
            "model names the assistant of method assistant: give both or neither",
            field=".model",
        ),
        Rule(
            "!has(self.model) || self.model.startsWith('/') || self.model.matches("
            "'^hf://[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?(@[A-Za-z0-9_./-]+)?$')",
            "must be hf://<organisation>/<model>, or an absolute path in the workers",
            field=".model",
        ),
    )

    method: Literal["auto", "none", "ngram", "assistant"] = "none"
    """Who guesses. `ngram`: what followed the last time that the text read as its end reads now,
    for answers that repeat parts of their prompt. `assistant`: a smaller model with the same
    tokenizer. `auto` is `ngram` where a trial at the start finds that guesses add little to a step,
    else `none`."""

    model: str | None = Field(default=None, min_length=1, max_length=512)
    """The assistant: `hf://organisation/model@revision`, or a path in the workers, such as one
    below `/models` beside a model from a volume, or one that `podTemplate` mounts."""

    tokens: int = Field(default=0, ge=0, le=32)
    """Most tokens that are guessed at a time; 0 is the worker's choice. Texts that are hard to
    guess get fewer, or none."""


class Engine(Part):
    """How a worker runs the model."""

    backend: Literal["auto", "native", "transformers", "onnxruntime", "vllm", "echo"] = "auto"
    """What runs the model. `native` runs all requests of a step together, on the modules of
    transformers: texts without padding, generation in slots of one cache. `transformers` is stock
    transformers, for any architecture and slower. `onnxruntime` runs encoders from ONNX files, in
    images that have that package. `vllm` generates with vLLM's own scheduler and kernels, in images
    that have it, on a GPU. `echo` loads nothing and answers every request with what it was
    sent, for tests of clients and scaling. `auto` is `native` where a check at the start finds its
    numbers equal to those of stock transformers, and `transformers` elsewhere; `onnxruntime` only
    where the weights are there as ONNX alone, and `vllm` for generation where there are a GPU and a
    vLLM that has the model."""

    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Number format of weights and arithmetic. `auto` keeps the checkpoint's on a GPU and takes
    float32 on a CPU, where shorter formats are slower or emulated."""

    quantization: Literal["auto", "none", "float16", "int8", "int4", "bfloat16"] = "auto"
    """Format of the weights of linear layers on a CPU, where shorter ones are read faster; numbers
    between them stay in `dtype`. `float16` changes results by about 1e-4, `int8` by about 1e-2,
    `int4` by about 1e-1. `auto` takes `float16` for generation when a trial at the start finds it
    faster, else `none`."""

    speculation: Speculation = Speculation()
    """Tokens guessed ahead while few texts run, on CPUs: a step computes several of them together
    and keeps those that it would have chosen anyway, so that texts stay as they are without."""

    max_batch_size: int = Field(default=8, ge=1, le=1024)
    """Most texts that are generated at once; other tasks fill their batches by tokens."""

    max_queue_depth: int = Field(default=256, ge=1, le=100_000)
    """Most requests that wait in one worker; beyond it callers get RESOURCE_EXHAUSTED at once."""

    max_model_length: int | None = Field(default=None, ge=1, le=2**31 - 1)
    """Longest input in tokens, with the output for generation. Default: what the model was built
    for."""


class Gpu(Part):
    """GPUs of each worker."""

    count: int = Field(default=1, ge=1, le=64)
    """How many GPUs each worker gets."""

    resource: str = Field(
        default="nvidia.com/gpu",
        min_length=1,
        max_length=317,
        pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$",
    )
    """Extended resource under which nodes advertise them."""


def _quantities(field: str) -> Rule:
    return Rule(
        f"!has(self.{field}) || self.{field}.all(k, isQuantity(string(self.{field}[k])))",
        "must be quantities such as 4, 500m or 16Gi",
        field=f".{field}",
    )


class Resources(Part):
    """What each worker asks of its node."""

    model_config = validated(*(_quantities(field) for field in ("requests", "limits")))

    gpu: Gpu | None = None
    """GPUs of each worker. Without it the worker runs on the CPU, with the CPU image."""

    requests: Quantities = {}
    """Requests, as in a container. Default: 500m of cpu, 1Gi of memory and 1Gi of
    ephemeral-storage; what is given here replaces them one by one. On a CPU a worker computes with
    as many threads as its cpu limit, or without one its request, has processors (rounded up)."""

    limits: Quantities = {}
    """Limits, as in a container. Default: none but the GPUs."""


class Placement(Part):
    """Where workers may run; passed on to the pods as it is."""

    node_selector: Annotated[dict[str, str], Field(max_length=64)] = {}
    """Labels that a node must have."""

    tolerations: Annotated[list[Open], Field(max_length=64)] = []
    """Taints that workers tolerate. The taint of `resources.gpu.resource` is tolerated anyway."""

    affinity: Open | None = None
    """Affinity, as in a pod."""

    runtime_class_name: str | None = Field(default=None, max_length=253)
    """RuntimeClass of the pods, such as `nvidia`."""

    priority_class_name: str | None = Field(default=None, max_length=253)
    """PriorityClass of the pods."""


class Scaling(Part):
    """How the number of workers follows the queue."""

    model_config = validated(
        Rule(
            "self.minReplicas <= self.maxReplicas",
            "minReplicas must not be greater than maxReplicas",
            field=".minReplicas",
        )
    )

    min_replicas: int = Field(default=1, ge=1, le=1000)
    """Fewest workers."""

    max_replicas: int = Field(default=1, ge=1, le=1000)
    """Most workers. Equal to minReplicas, the number is fixed."""

    target_queue_depth: int = Field(default=8, ge=1, le=100_000)
    """Requests in hand (waiting and running) that one worker shall have on average. Workers are
    added above it and removed below it. About three quarters of `engine.maxBatchSize` keeps waits
    short."""

    behavior: Open | None = None
    """`behavior` of the HorizontalPodAutoscaler (autoscaling/v2), instead of the default: up
    without delay to whatever the queue asks for; down by at most half of the workers a minute,
    once the cluster's stabilisation window (5 minutes unless configured) has passed."""

    @property
    def effective_behavior(self) -> dict[str, Any]:
        """`behavior`, or what stands for it."""
        return self.behavior or default_behavior(self.max_replicas)


class Rollout(Part):
    """How workers are replaced when the spec changes, and how they end."""

    model_config = validated(
        Rule(
            "!(string(self.maxSurge) in ['0', '0%'] && string(self.maxUnavailable) in ['0', '0%'])",
            "maxSurge and maxUnavailable must not both be 0: no worker could ever be replaced",
            field=".maxSurge",
        )
    )

    max_surge: IntOrPercent = 1
    """Workers above the wanted number during a rollout. 0 where no GPU is to spare; set
    maxUnavailable to 1 then."""

    max_unavailable: IntOrPercent = 0
    """Workers below the wanted number during a rollout."""

    drain_seconds: int = Field(default=60, ge=0, le=570)
    """How long a worker that is told to stop may finish what it has in hand. Cluster autoscalers
    cut pods after 10 minutes, hence the bound."""

    progress_deadline_seconds: int = Field(default=1800, ge=30, le=86_400)
    """How long a worker may take from its creation until it serves, image and weights included,
    before the rollout is reported as stuck and the worker is started again."""


class Spec(Part):
    """What to serve and how."""

    model_config = validated(
        Rule(
            "self.source.matches('^(hf|pvc|file)://.+')",
            "must start with hf://, pvc:// or file://",
            field=".source",
        ),
        Rule(
            "!self.source.startsWith('hf://') || self.source.matches("
            "'^hf://[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?(@[A-Za-z0-9_./-]+)?$')",
            "a hub source reads hf://<organisation>/<model>, with @<revision> behind it if need be",
            field=".source",
        ),
        Rule(
            "!self.source.startsWith('pvc://') || self.source.matches("
            "'^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/.*)?$')",
            "a volume source reads pvc://<claim>/<path in the volume>",
            field=".source",
        ),
        Rule(
            "!self.source.startsWith('file://') || self.source.startsWith('file:///')",
            "a node path reads file:///<absolute path>",
            field=".source",
        ),
        Rule(
            "self.source.startsWith('hf://') || "
            "!self.source.contains('/../') && !self.source.endsWith('/..')",
            "the path must not contain ..",
            field=".source",
        ),
    )

    source: str = Field(min_length=1, max_length=2048)
    """Where the weights are, in the format of transformers' `save_pretrained`:
    `hf://organisation/model@revision` (Hugging Face hub), `pvc://claim/path`
    (PersistentVolumeClaim of this namespace, mounted read-only), `file:///path` (folder on the
    node; only where the operator was installed with `nodePaths.enabled`)."""

    source_secret: str | None = Field(default=None, min_length=1, max_length=253)
    """Secret of this namespace whose keys become environment variables of the worker, such as
    `HF_TOKEN` for models that are not public or `HF_ENDPOINT` for a mirror of the hub."""

    task: Literal["auto", "generate", "classify", "tag", "answer", "embed"] = "auto"
    """What the model is asked to do. `auto` reads it from the model's own configuration: text
    generation (`generate`), classification of texts (`classify`) or of their tokens (`tag`),
    answers from a context (`answer`), other encoders of text (`embed`).
    What it does not know is refused with the tasks that are offered."""

    engine: Engine = Engine()
    """How a worker runs the model."""

    resources: Resources = Resources()
    """What each worker asks of its node."""

    placement: Placement = Placement()
    """Where workers may run."""

    pod_template: Open | None = None
    """Merged over the pod template that Lepton builds (`metadata` and `spec`): maps are merged,
    lists of named things by their name, tolerations and imagePullSecrets are added, other lists
    replaced. For what this API has no field for. The worker's container is named `worker`."""

    scaling: Scaling = Scaling()
    """How the number of workers follows the queue."""

    rollout: Rollout = Rollout()
    """How workers are replaced and ended."""


class EngineStatus(Part):
    """What the workers said of themselves."""

    backend: str | None = None
    """Backend in use."""

    device: str | None = None
    """Device in use, such as `cpu` or `cuda:0`."""

    dtype: str | None = None
    """Number format in use."""

    architecture: str | None = None
    """Class of the model in transformers."""

    max_length: int | None = None
    """Longest input in tokens."""


class StatusCondition(Part):
    """One statement about the model."""

    type: str = Field(max_length=64)
    """What is stated: Accepted, ModelReady, Available, Progressing, Scaling or Ready."""

    status: Literal["True", "False", "Unknown"]
    """Whether it is so."""

    reason: str = Field(max_length=64)
    """The culprit, or why it is so, in one word; docs/failures.md lists all of them."""

    message: str = Field(max_length=32768)
    """The same in a sentence, with what to do about it."""

    observed_generation: int | None = None
    """Generation of the spec that this speaks of."""

    last_transition_time: str = Field(json_schema_extra={"format": "date-time"})
    """When the status changed last."""


class Status(Part):
    """What Lepton found."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""

    phase: Literal["Activating", "Serving", "Failed"] | None = None
    """In one word: `Activating` until the first worker serves, `Serving` while at least one does,
    `Failed` when none does and something has to be mended first (see the conditions)."""

    replicas: int | None = None
    """Workers that exist."""

    ready_replicas: int | None = None
    """Workers that serve."""

    desired_replicas: int | None = None
    """Workers that the autoscaler wants."""

    queue_depth: int | None = None
    """Requests in hand of all workers together, as the autoscaler last saw them."""

    url: str | None = None
    """gRPC address inside the cluster."""

    task: str | None = None
    """Task in use."""

    engine: EngineStatus | None = None
    """What the workers said of themselves."""

    reason: str | None = None
    """What is wrong, in one word; empty when nothing is. Shown by `kubectl get`."""

    conditions: Annotated[
        list[StatusCondition],
        Field(
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            }
        ),
    ] = []
    """Accepted, ModelReady, Available, Progressing, Scaling and Ready. Each carries one reason,
    which names the culprit, and a message that says what to do."""


class Metadata(Part):
    """The parts of the object's metadata that we read."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0


class LeptonModel(Part):
    """A transformer model, served over gRPC by workers whose number follows the queue."""

    model_config = validated(
        Rule(
            f"self.metadata.name.size() <= {LIMIT_NAME}",
            f"the name must not be longer than {LIMIT_NAME} characters: "
            "names of Services and labels derive from it",
            field=".metadata.name",
        ),
        Rule(
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "the name must start with a letter and consist of lower-case letters, digits and -: "
            "it names Services",
            field=".metadata.name",
        ),
    )

    metadata: Metadata
    spec: Spec
    """What to serve and how."""

    status: Status = Status()
    """What Lepton found."""
