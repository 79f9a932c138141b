"""The ways into the lab: a forward proxy for programs on the host, a TLS gateway and DNS for pods.

One table of names (`names`) serves all of them, so a host is emulated everywhere or nowhere. No door leads out: what
the table does not know is refused and recorded.
"""
