"""Who asks, and what they may do: the decision over roles and bindings, the roles of a new cluster, and what nobody
may hand out.

Contract: Kubernetes API surface, section 6.
"""
