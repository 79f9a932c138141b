"""The managed clusters of a lab beside its own: run as Resource Manager wants them, one loop for all.

Each is an embedded cluster with a state, keys, a certificate authority, an API listener, nodes and controllers of its
own, in a directory of its own below the lab's. `plan` decides what is to be done to one, `loop` has it done, `hosted`
is a cluster's life on disk and in memory, `own` puts the lab's own cluster in the place of a managed one, `doors` and
`issuers` lead to them, `credentials` are what a kubeconfig holds. What is shared: the process and its event loop, the
clouds behind the doors, the journal, the images, the lab's clock.

Contract: `lab/arm/hosting.py`. Follows AKS in what a rotation of keys keeps valid and in the kubeconfig's form.
Left out: node pools (a cluster has one kind of node, and ten at most), upgrades, node images.
"""
