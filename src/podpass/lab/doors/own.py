"""The cloud's addresses on this machine itself, for programs that are told where a cloud is and need no proxy.

All planes are at one origin, https://localhost:{port of the gateway}; a vault is a name below it, which must resolve
where the program runs. Contract: Azure HTTP surface, section 9 (a).
"""

from collections.abc import Mapping

HOST = "localhost"
VAULTS = f"vault.{HOST}"
TABLE: Mapping[str, str] = {HOST: "planes", f"*.{VAULTS}": "keyvault"}
"""What the names lead to, at the gateway only."""


def is_own(name: str) -> bool:
    """Whether *name*, a host name in lower case, is one by which every machine calls itself."""
    return name == HOST or name.endswith(f".{HOST}")


def origin(port: int) -> str:
    """Where the planes are, for a gateway at *port*."""
    return f"https://{HOST}:{port}"


def vault_resource(port: int) -> str:
    """What tokens for vaults are for that are reached at *port*."""
    return f"https://{VAULTS}:{port}"
