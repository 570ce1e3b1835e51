"""Root of the generated protobuf packages."""
