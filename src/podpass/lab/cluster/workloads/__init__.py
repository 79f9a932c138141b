"""What the workload controllers decide, as functions over values: no storage, no clock, no events.

Each module says for one kind which actions bring what is there to what should be, and what its status says.
`controllers/` carries them out. Contract: Kubernetes API surface, section 7.5.
"""
