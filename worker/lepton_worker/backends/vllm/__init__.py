"""vLLM as the engine: its scheduler and kernels inside, our front and admission around it."""
