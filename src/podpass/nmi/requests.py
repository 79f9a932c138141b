"""Which identity a pod asks for.

Contract: pod identity, sections 3.4 and 9 (7, 8).
"""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl

MAX_QUERY, MAX_VALUE = 8_192, 2_048


@dataclass(frozen=True, slots=True)
class Asked:
    """A token for *resource*; of the identity with this client, ARM or object id, or of any when none is given."""

    resource: str
    client_id: str = ""
    resource_id: str = ""
    object_id: str = ""

    @property
    def names_identity(self) -> bool:
        """Whether the identity is named in a way that its AzureIdentity tells; an object id is not."""
        return bool(self.client_id or self.resource_id)


@dataclass(frozen=True, slots=True)
class BadRequest:
    """A request that can't be answered, in the words of the answer."""

    why: str


def asked(query_string: str) -> Asked | BadRequest:
    """What the query of a token request asks for. Of several members of one name the first counts."""
    if len(query_string) > MAX_QUERY:
        # Before it would be remembered.
        return BadRequest("a parameter is too long")
    return _asked(query_string)


# Pods ask for the same few tokens over and over.
@lru_cache(maxsize=256)
def _asked(query_string: str) -> Asked | BadRequest:
    query: dict[str, str] = {}
    for name, value in parse_qsl(query_string, keep_blank_values=True):
        query.setdefault(name, value)
    if any(len(value) > MAX_VALUE for value in query.values()):
        return BadRequest("a parameter is too long")
    resource = query.get("resource", "")
    if not resource:
        return BadRequest("parameter resource cannot be empty")
    client_id = query.get("client_id", "")
    resource_id = query.get("msi_res_id", "") or query.get("mi_res_id", "")
    object_id = query.get("object_id", "")
    if sum(map(bool, (client_id, resource_id, object_id))) > 1:
        return BadRequest("only one of the parameters client_id, object_id and msi_res_id can be given")
    return Asked(resource, client_id, resource_id, object_id)
