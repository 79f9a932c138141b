"""One request, from its path to its answer: what it is about, what it asks for, its body, and how it is answered.

`http` is the entrance; it calls `reading` for get, list and watch, `writing` for what changes something, and
`server_paths` for what is no object. Contract: Kubernetes API surface, sections 1.1 to 1.5 and 2.3 to 2.8.
"""
