"""Custom resources: kinds that clients define, as apiextensions.k8s.io/v1 CustomResourceDefinition has them.

What a schema may say is told by `structural` and `schema_keywords`, what it means by `values`, `validation` and
`apply_rules`, all of them pure functions; `definitions` is the kind of the definitions themselves, `publishing` makes
kinds out of them, `controller` settles their names and empties them when they go.
Contract: Kubernetes API surface, section 5.
"""
