"""The node agent: pods' requests for tokens, answered by which pod asks and what its bindings give it.

Behaviour is that of NMI of Azure/aad-pod-identity 1.8.17 with the faults that section 9 of the contract lists mended.
Contract: pod identity, section 3.
"""
