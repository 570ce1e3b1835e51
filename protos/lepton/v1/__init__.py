"""Wire format of Lepton: the messages and services of `lepton.v1`, generated from its proto files."""
