"""The cluster that a command reads: that of a kubeconfig."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from podpass.problems import PodpassError

if TYPE_CHECKING:
    from podpass.kube.client import Client

T = TypeVar("T")


def read_cluster(
    read: "Callable[[Client], Awaitable[T]]", *, kubeconfig: Path | None, context: str, user_agent: str
) -> T:
    """What *read* makes of the cluster of *kubeconfig*, else of KUBECONFIG.

    Raises PodpassError PP402 when it can't be read, ConfigError when there is no such cluster.
    """
    from podpass.kube.client import CALL_FAILURES, Client
    from podpass.kube.config import load

    async def work() -> T:
        async with Client(load(os.environ, path=kubeconfig, context=context), user_agent=user_agent) as client:
            return await read(client)

    try:
        return asyncio.run(work())
    except CALL_FAILURES as error:
        raise PodpassError("PP402", f"the cluster could not be read: {error}", reason=str(error)) from error
