"""Our own engine over the modules of transformers: packed rows, own caches, own kernels."""
