import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetModelInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ModelInfo(_message.Message):
    __slots__ = ("name", "state", "task", "source", "architecture", "backend", "device", "dtype", "max_length", "max_message_bytes", "labels", "dimensions", "version", "start_up", "calls", "choices", "cache_tokens", "adapters")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[ModelInfo.State]
        STATE_LOADING: _ClassVar[ModelInfo.State]
        STATE_SERVING: _ClassVar[ModelInfo.State]
        STATE_DRAINING: _ClassVar[ModelInfo.State]
    STATE_UNSPECIFIED: ModelInfo.State
    STATE_LOADING: ModelInfo.State
    STATE_SERVING: ModelInfo.State
    STATE_DRAINING: ModelInfo.State
    class StartUpEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _duration_pb2.Duration
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
    class ChoicesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    MAX_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    START_UP_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    CACHE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ADAPTERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: ModelInfo.State
    task: str
    source: str
    architecture: str
    backend: str
    device: str
    dtype: str
    max_length: int
    max_message_bytes: int
    labels: _containers.RepeatedScalarFieldContainer[str]
    dimensions: int
    version: str
    start_up: _containers.MessageMap[str, _duration_pb2.Duration]
    calls: _containers.RepeatedScalarFieldContainer[str]
    choices: _containers.ScalarMap[str, str]
    cache_tokens: int
    adapters: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[ModelInfo.State, str]] = ..., task: _Optional[str] = ..., source: _Optional[str] = ..., architecture: _Optional[str] = ..., backend: _Optional[str] = ..., device: _Optional[str] = ..., dtype: _Optional[str] = ..., max_length: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., labels: _Optional[_Iterable[str]] = ..., dimensions: _Optional[int] = ..., version: _Optional[str] = ..., start_up: _Optional[_Mapping[str, _duration_pb2.Duration]] = ..., calls: _Optional[_Iterable[str]] = ..., choices: _Optional[_Mapping[str, str]] = ..., cache_tokens: _Optional[int] = ..., adapters: _Optional[_Iterable[str]] = ...) -> None: ...

class GetLoadRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Load(_message.Message):
    __slots__ = ("waiting", "running", "max_waiting", "draining", "waiting_tokens", "estimated_wait", "cache_usage", "max_running")
    WAITING_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    MAX_WAITING_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    WAITING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_WAIT_FIELD_NUMBER: _ClassVar[int]
    CACHE_USAGE_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNNING_FIELD_NUMBER: _ClassVar[int]
    waiting: int
    running: int
    max_waiting: int
    draining: bool
    waiting_tokens: int
    estimated_wait: _duration_pb2.Duration
    cache_usage: float
    max_running: int
    def __init__(self, waiting: _Optional[int] = ..., running: _Optional[int] = ..., max_waiting: _Optional[int] = ..., draining: _Optional[bool] = ..., waiting_tokens: _Optional[int] = ..., estimated_wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cache_usage: _Optional[float] = ..., max_running: _Optional[int] = ...) -> None: ...

class WatchLoadRequest(_message.Message):
    __slots__ = ("interval",)
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    interval: _duration_pb2.Duration
    def __init__(self, interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class LoadAdapterRequest(_message.Message):
    __slots__ = ("name", "source")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    source: str
    def __init__(self, name: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class Adapter(_message.Message):
    __slots__ = ("name", "source", "rank", "bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    source: str
    rank: int
    bytes: int
    def __init__(self, name: _Optional[str] = ..., source: _Optional[str] = ..., rank: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class UnloadAdapterRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class UnloadAdapterResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListAdaptersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListAdaptersResponse(_message.Message):
    __slots__ = ("adapters",)
    ADAPTERS_FIELD_NUMBER: _ClassVar[int]
    adapters: _containers.RepeatedCompositeFieldContainer[Adapter]
    def __init__(self, adapters: _Optional[_Iterable[_Union[Adapter, _Mapping]]] = ...) -> None: ...

class ProfileRequest(_message.Message):
    __slots__ = ("steps", "trace")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    steps: int
    trace: bool
    def __init__(self, steps: _Optional[int] = ..., trace: _Optional[bool] = ...) -> None: ...

class ProfileResponse(_message.Message):
    __slots__ = ("steps", "operators", "trace")
    class Operator(_message.Message):
        __slots__ = ("name", "calls", "self_cpu", "self_device")
        NAME_FIELD_NUMBER: _ClassVar[int]
        CALLS_FIELD_NUMBER: _ClassVar[int]
        SELF_CPU_FIELD_NUMBER: _ClassVar[int]
        SELF_DEVICE_FIELD_NUMBER: _ClassVar[int]
        name: str
        calls: int
        self_cpu: _duration_pb2.Duration
        self_device: _duration_pb2.Duration
        def __init__(self, name: _Optional[str] = ..., calls: _Optional[int] = ..., self_cpu: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., self_device: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
    STEPS_FIELD_NUMBER: _ClassVar[int]
    OPERATORS_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    steps: int
    operators: _containers.RepeatedCompositeFieldContainer[ProfileResponse.Operator]
    trace: bytes
    def __init__(self, steps: _Optional[int] = ..., operators: _Optional[_Iterable[_Union[ProfileResponse.Operator, _Mapping]]] = ..., trace: _Optional[bytes] = ...) -> None: ...
