"""The vocabulary of the Kubernetes API: objects, resources, selectors, patches, Status errors, and a client.

Objects stay plain JSON mappings, so that members unknown to this code survive every way through it.
"""
