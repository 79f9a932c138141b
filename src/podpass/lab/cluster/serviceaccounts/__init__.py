"""Tokens of service accounts: how they are issued and believed, their keys, and the documents others verify them by.

Contract: Kubernetes API surface, sections 4.1 to 4.3.
"""
