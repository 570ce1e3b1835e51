"""The command line `lepton`, also `kubectl lepton`."""
