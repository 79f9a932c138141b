"""The controllers that every cluster needs: accounts and root certificate, namespaces, garbage, old events.

Contract: Kubernetes API surface, sections 2.8, 4.6, 7.5.
"""
