"""Kubernetes pods reach Azure and Google Cloud without stored secrets."""

__version__ = "0.1.0.dev0"
