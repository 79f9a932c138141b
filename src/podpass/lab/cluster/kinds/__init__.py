"""What is particular to each kind: its defaults, its validation, what can't be changed, how it is selected and shown.

Follows Kubernetes 1.37 for the kinds that pods with identities need. Left out: the validation of security contexts,
affinity and storage, and evaluation of CEL in webhook configurations, which are refused when they have any.
"""
