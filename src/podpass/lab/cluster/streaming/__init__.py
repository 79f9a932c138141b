"""Exec, attach and port forwarding: a client's connection, joined to a program or a port of a pod.

`request` reads what is asked for, `channels` and `spdy_client` are the protocols of clients, `session` carries bytes
until one side has enough, `port_forward` joins ports, `subresources` puts them together.

Contract: Kubernetes API surface, section 1.6.
"""
