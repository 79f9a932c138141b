"""The way from pod identity to workload identity; its first step is to find what is to move.

`estate` is what was read, `workloads` finds who uses pod identity, `plan` says for each what moving takes and what
hinders it, `files` are the manifests to apply. All of that is pure; `client` and `manifests` read.
"""
