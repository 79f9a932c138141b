"""Azure's instance metadata service as a protocol: request rules, errors, token answers, documents.

Whoever answers in its name shares this: the lab's own service, and what stands between pods and a real one.
Contract: pod identity, section 4.
"""
