"""One level-triggered pass over a model, and the queue that decides when it runs."""
