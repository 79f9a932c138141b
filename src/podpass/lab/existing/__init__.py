"""A cluster that is there already, instead of the embedded one: the lab is then the clouds that trust it.

What the lab puts there is a short list of objects that carry its mark; `podpass lab down` takes them away, and
nothing without the mark is ever changed. The cluster's issuer is read through its API server with the kubeconfig's
credentials and published inside the lab, so that tokens are verified although no issuer host is reached.

Only clusters whose API server is on this machine's loopback: the lab never connects anywhere else. Missing: pods of
the cluster reach the lab's clouds only where they share this machine's loopback.
"""
