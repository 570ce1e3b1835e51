"""`lepton`: what a person asks about models, from a shell."""
