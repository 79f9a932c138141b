"""The product's main job on real input: a pod reads a secret it holds no password for.

Everything is made through the APIs a user would call: the Kubernetes API, Entra's token endpoint, ARM, Key Vault.
Only the faults that no API can make (an unreachable issuer, a wrong clock) go through the lab's control socket.
"""
