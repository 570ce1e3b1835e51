"""Where scheduling meets the backend: loading, the loop, and each request on its way through."""
