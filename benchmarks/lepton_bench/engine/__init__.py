"""Suite `engine`: the worker beside other servers and engines, and beside the machine's limits."""
