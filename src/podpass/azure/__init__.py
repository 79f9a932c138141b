"""Azure's vocabulary: clouds and authority hosts, resource ids, resources and scopes, workload identity.

Values only. Contract: azure workload identity, sections 1.1, 1.8 and 2.4; azure HTTP surface, sections 1 and 2.1.
"""
