"""The Open Inference Protocol v2 over gRPC, in the dialect of Triton."""
