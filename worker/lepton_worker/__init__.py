"""Worker: serves one transformer model over gRPC."""

__version__ = "0.1.0"
