"""What is wrong on a live cluster, found by reading alone.

`snapshot` is what was read, `posing` a check: a function from a snapshot to findings. `client` reads.
"""
