"""Messages of the Open Inference Protocol, from their private pool."""

from lepton_worker.serving.private_pool import PrivatePool

SERVICE = "inference.GRPCInferenceService"
VERSION = "1"
"""Of every model: there is one at a time."""

POOL = PrivatePool("inference")

InferRequest = POOL.message("inference.ModelInferRequest")
InferResponse = POOL.message("inference.ModelInferResponse")
InferParameter = POOL.message("inference.InferParameter")
StreamInferResponse = POOL.message("inference.ModelStreamInferResponse")
ServerLiveResponse = POOL.message("inference.ServerLiveResponse")
ServerReadyResponse = POOL.message("inference.ServerReadyResponse")
ServerMetadataResponse = POOL.message("inference.ServerMetadataResponse")
ModelReadyRequest = POOL.message("inference.ModelReadyRequest")
ModelReadyResponse = POOL.message("inference.ModelReadyResponse")
MetadataRequest = POOL.message("inference.ModelMetadataRequest")
MetadataResponse = POOL.message("inference.ModelMetadataResponse")
ConfigRequest = POOL.message("inference.ModelConfigRequest")
ConfigResponse = POOL.message("inference.ModelConfigResponse")
StatisticsRequest = POOL.message("inference.ModelStatisticsRequest")
StatisticsResponse = POOL.message("inference.ModelStatisticsResponse")
IndexRequest = POOL.message("inference.RepositoryIndexRequest")
IndexResponse = POOL.message("inference.RepositoryIndexResponse")
