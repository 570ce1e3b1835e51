"""What is measured: each part can be run by itself and returns its figures and curves."""
