"""Names of the peers, by what they are compared in."""

ENCODER_PEERS = (
    "litserve-8",
    "litserve-32",
    "mlserver",
    "kserve",
    "onnxruntime",
    "onnxruntime-int8",
    "openvino",
)
DECODER_PEERS = (
    "transformers-serve",
    "transformers-serve-cb",
    "transformers-cb",
    "ctranslate2",
    "llama-cpp",
    "llama-cpp-bf16",
    "llama-cpp-int8",
    "openvino-genai",
    "openvino-genai-bf16",
    "openvino-genai-int8",
)
CPP_16 = ("llama-cpp", "llama-cpp-bf16", "openvino-genai", "openvino-genai-bf16")
"""Engines of C++ with weights of 16 bits; what they compute in is their own choice, or named."""

CPP_8 = ("llama-cpp-int8", "openvino-genai-int8")
"""The same with weights of 8 bits."""

ENGINES = ("transformers-cb", "ctranslate2", *(name for name in CPP_16 + CPP_8 if "vino" in name))
"""Decoders without a server."""

PADDED = ("litserve-8", "litserve-32", "mlserver")
"""Servers that join requests to batches, padded to the longest."""

SERVERS = (*PADDED, "kserve")
"""The last joins no requests: each text is a batch."""

RIVALS = {"transformers-serve-cb": "transformers_cb", "llama-cpp": "llama_cpp"}
"""Servers of decoders that ours is held against under every kind of load, and their names in
figures."""
