"""What the author of a container has its node do: probes and lifecycle hooks.

Checks are values read from the pod; `network` and the runtime carry them out, probes decide in `probing` what the
answers mean. Contract: Kubernetes API surface, section 7.1. Follows the prober and the hook runner of the kubelet
of Kubernetes 1.37.
"""
