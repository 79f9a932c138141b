"""The OpenAPI documents of the kinds that are served, custom resources among them.

Contract: Kubernetes API surface, section 1.5.
"""
