"""gRPC: speaks the protocol and decides nothing."""
