"""Services: the addresses and ports they are given, and the endpoints they lead to."""
