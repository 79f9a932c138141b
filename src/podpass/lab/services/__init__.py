"""Services in use: connections reach the pods behind them, from pods and from this machine.

What kube-proxy does on a node and a load balancer in front of a cluster. `model` says what is listened on; `loop`
keeps that true; `network` holds the sockets on this machine. Every one of them is on a loopback address: a Service of
type LoadBalancer gets one for itself where the machine has more than one, so that its own ports are free there.
Contract: Kubernetes API surface, section 7.5.
Missing: SCTP, externalIPs, source ranges, and the pod's own address as the peer that a Service's pod sees.
"""
