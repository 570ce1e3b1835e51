"""Operator of LeptonModels: control loop and metrics API."""

__version__ = "0.1.0"
