"""Signed tokens: keys, JSON Web Tokens, issuers' discovery documents, and the match against federated credentials.

Everything here is values and functions over them, except `client.py`, which fetches an issuer's keys. RSA and
elliptic-curve signatures come from the cryptography package directly: verifying, matching and signing one token
must cost little more than the RSA signature itself.

Contract: azure workload identity, sections 4 and 5.7; RFC 7515, 7517, 7519. Not here: encryption, HMAC, detached
and unencoded payloads.
"""
