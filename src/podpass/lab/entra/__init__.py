"""The lab's Entra: a login service that federates with any issuer the lab can reach.

Imitated: client assertions at the token endpoint (v2.0 and v1), the tenants' discovery documents, the signing keys
and instance discovery, with the real service's order of checks, codes and texts. Tenants, applications and federated
credentials live in `directory.py`; other services of the lab read callers from access tokens with `access.py`.

Missing, and refused in the real service's shape: users and interactive sign-in, client secrets and certificates
(no application of the lab has any), on-behalf-of, device codes, flexible federated credentials, conditional access.

Contract: azure workload identity, section 5; azure HTTP surface, section 2.
"""
