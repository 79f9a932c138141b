"""Resource Manager as clients use it: through the gateway, over TLS, with a token, and an event for each write."""

import json
import ssl

from bench.rates import Rate, get, measure

HOST = "management.azure.com"
GETS, PUTS = 8_000, 3_000


def _authorized(request: bytes, token: str) -> bytes:
    return request.replace(b"\r\n", f"\r\nAuthorization: Bearer {token}\r\n".encode(), 1)


def _put(path: str, body: object) -> bytes:
    content = json.dumps(body).encode()
    head = f"PUT {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


async def rates(pid: int, port: int, tls: ssl.SSLContext, *, group: str, token: str) -> tuple[Rate, Rate]:
    """Reads of one managed identity, and identities made, each under a name of its own."""
    base = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
    made = 0

    def create() -> bytes:
        nonlocal made
        made += 1
        return _authorized(_put(f"{base}/bench-{made}?api-version=2024-11-30", {"location": "eastus"}), token)

    async def rate(request: bytes | None, count: int) -> Rate:
        asked = request if request is not None else create
        return await measure(pid, port, asked, tls=tls, server_name=HOST, count=count)

    await rate(None, PUTS // 10)
    puts = await rate(None, PUTS)
    one = _authorized(get(HOST, f"{base}/bench-1?api-version=2024-11-30"), token)
    await rate(one, GETS // 10)
    return await rate(one, GETS), puts
