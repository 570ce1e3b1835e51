"""Programs that tests run with the client of another project; JSON in, JSON out."""
