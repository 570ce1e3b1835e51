"""The API `lepton.ai/v1alpha1`: types, names and conditions, as values without any I/O."""
