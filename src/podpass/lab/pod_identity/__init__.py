"""The add-on of pod identity of a managed cluster: what its profile stands for in the cluster, made and kept so.

`wanted` says which objects a profile stands for, `changes` what is to be done to those that are there, `addon` does it
whenever something may have changed. Always managed mode, as AKS has it.
Contract: pod identity, section 6.3. What was created goes when an entry, or the add-on, does; namespaces stay, as they
may hold more, and the definitions stay while objects of somebody else are left.
"""
