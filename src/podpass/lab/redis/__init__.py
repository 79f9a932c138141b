"""The lab's caches: each is a redis-server of this machine, reached by its Azure name and with its access keys.

What answers is Redis itself, of whatever version is installed, with the commands taken away that Azure's service does
not offer; Resource Manager says which caches there are. A cache keeps what it holds when the lab is stopped or killed,
and forgets it when it is deleted. It is one process whatever its tier: no replicas, no clustering.

Pods reach a cache by its name on 6379 and 6380, programs on the host on two ports of loopback that `podpass lab status`
tells.
"""

from podpass.lab.redis.loop import Caches

__all__ = ["Caches"]
