"""Custom resources: kinds that clients define, as apiextensions.k8s.io/v1 CustomResourceDefinition has them.

What a schema means is said by pure functions (`structural`, `values`, `validation`, `apply_rules`); `definitions` is
the kind of the definitions themselves, `publishing` makes kinds out of them, `controller` settles their names and
empties them when they go. Contract: Kubernetes API surface, section 5.
"""
