"""The scheduler: finds a node for each pod that has none, or says why there is none.

Follows kube-scheduler of Kubernetes 1.37 in what rules a node out, and in the words for it; of what makes one node
better than another it knows preferences, taints that are better avoided, the load, and what spreads the pods of one
owner. `filters` and `scores` are the rules, `decide` puts them together, `loop` carries the decisions out.
Missing: preemption, volumes that only some nodes reach, devices, extenders, several profiles.
"""
