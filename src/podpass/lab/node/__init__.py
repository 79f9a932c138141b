"""The lab's node: pods of the Kubernetes API run as real processes of this machine.

It does what the kubelet does for the objects the lab needs: the Node object and its Lease,
volumes, environment, container lifecycle, status, events and logs. Two runtimes start the processes: the *sandbox*
(Linux namespaces and bubblewrap; exact paths, own network, no way out) and *plain* processes, where namespaces are
not to be had.

Contract: Kubernetes API surface, sections 4.5 and 7. Follows the kubelet of Kubernetes 1.37 where it says nothing.
Missing: drivers of CSI volumes, other persistent volumes than hostPath, resource limits, groups of
volumes (fsGroup), shared process namespaces, image pulls (an image is an entry of the catalogue, or was
added from disk).
"""
