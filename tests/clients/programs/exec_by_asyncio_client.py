"""Runs a command in a pod with kubernetes_asyncio's websocket client."""

import asyncio
import sys

from kubernetes_asyncio import client, config
from kubernetes_asyncio.stream import WsApiClient
from kubernetes_asyncio.stream.ws_client import ERROR_CHANNEL, STDOUT_CHANNEL


async def main() -> None:
    await config.load_kube_config()
    async with WsApiClient() as api:
        core, where = client.CoreV1Api(api), ("box", sys.argv[1])
        options = {"stderr": True, "stdin": False, "stdout": True, "tty": False}
        answer = await core.connect_get_namespaced_pod_exec(*where, command=["echo", "hello"], **options)
        print("whole", answer.strip())
        talk = await core.connect_get_namespaced_pod_exec(
            *where,
            command=["sh", "-c", "read x; echo got $x; exit 5"],
            _preload_content=False,
            **{**options, "stdin": True},
        )
        async with talk as websocket:
            await websocket.send_bytes(b"\0word\n")
            said, error = b"", b""
            async for message in websocket:
                if message.data[0] == STDOUT_CHANNEL:
                    said += message.data[1:]
                if message.data[0] == ERROR_CHANNEL:
                    error += message.data[1:]
        print("answer", said.decode().strip())
        print("code", WsApiClient.parse_error_data(error.decode()))


asyncio.run(main())
