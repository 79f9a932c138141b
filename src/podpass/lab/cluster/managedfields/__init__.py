"""Who set which member of an object: `metadata.managedFields`, and server-side apply on top of it.

`field_sets` are sets of fields, `tracking` says who owns what after an update, `server_side_apply` what an apply makes.
Contract: Kubernetes API surface, section 2.7.
"""
