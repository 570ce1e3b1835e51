module lepton.ai/localcluster/pause // v1.0.0

go 1.23
