"""CEL, as admission policies, the match conditions of webhooks and the rules of custom resources are written in.

Contract: Kubernetes API surface, section 3.2.
"""
