"""The process that every pod's processes live below: pod networks, relays to the lab, starting and signalling.

`__main__.py` starts it as a program of its own (`python -I -S fabric FD sandbox|plain`), so every module here imports
the standard library and its siblings, relatively, and nothing else: with the lab's packages its start would take
several times as long. In the sandbox it is process 1 of a user, mount, network and pid namespace; when it ends, the
kernel ends every container with it. It ends as soon as the lab's side of the socket closes, however the lab ended.

The protocol is one JSON object a line on the inherited socket, with file descriptors beside it where a message says
`"fds": n`. Requests carry `id` and `op`; answers the same `id` with `ok` or `error`; `exit` and `trouble` are notices.
`driver.py` is the lab's side.
"""
