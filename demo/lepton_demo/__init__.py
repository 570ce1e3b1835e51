"""`make demo`: a Kubernetes, a model, an answer, and a number of workers that follows the load."""
