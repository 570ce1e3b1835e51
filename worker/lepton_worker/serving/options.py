"""Options of the gRPC server."""

MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest message in either direction."""

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    # Clients that ping every 10 s, also while idle, are welcome; stricter defaults cut them off.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # New workers behind a headless Service are seen when a connection ends; streams finish first.
    ("grpc.max_connection_age_ms", 300_000),
    # A second worker on the same port is a mistake to be told of, not to be shared with.
    ("grpc.so_reuseport", 0),
)
