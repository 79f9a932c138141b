"""What a request to the metadata service asks for, and the rules it must keep first.

Contract: pod identity, sections 4 and 4.1.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from podpass.imds import errors
from podpass.imds.errors import ImdsError

TOKEN_PATH = "/metadata/identity/oauth2/token"  # noqa: S105 - a path
INFO_PATH = "/metadata/identity/info"
OLDEST_TOKEN_VERSION = "2018-02-01"  # noqa: S105 - an api-version
MAX_VALUE = 2_048
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """Which identity's token for which resource. At most one of the three ids is given."""

    resource: str
    api_version: str
    client_id: str = ""
    object_id: str = ""
    resource_id: str = ""
    bypass_cache: bool = False

    @property
    def names_identity(self) -> bool:
        return bool(self.client_id or self.object_id or self.resource_id)


def refusal(method: str, headers: Mapping[str, str], names: Iterable[str]) -> ImdsError | None:
    """Why a request is turned away whatever its path; None when it is not. *headers* have lower-case names."""
    if method != "GET":
        return errors.METHOD_NOT_ALLOWED
    if headers.get("metadata", "").lower() != "true":
        return errors.METADATA_MISSING
    if "x-forwarded-for" in headers:
        # A request that somebody passed on is not the machine's own.
        return errors.FORWARDED
    given = [name.lower() for name in names]
    if len(given) != len(set(given)):
        return errors.invalid_request("A query variable is given twice")
    return None


def token_request(query: Mapping[str, str]) -> TokenRequest | ImdsError:
    """The token that a query asks for. Names of variables are compared without regard to letter case."""
    given = {name.lower(): value for name, value in query.items()}
    if any(len(value) > MAX_VALUE for value in given.values()):
        return errors.invalid_request("A query variable is too long")
    version = given.get("api-version", "")
    if not version:
        return errors.missing("api-version")
    if not _VERSION.fullmatch(version) or version < OLDEST_TOKEN_VERSION:
        return errors.invalid_request("Query variable 'api-version' is not a supported version")
    if not given.get("resource"):
        return errors.missing("resource")
    ids = (given.get("client_id", ""), given.get("object_id", ""))
    # azure-identity writes msi_res_id, newer documentation mi_res_id.
    resource_id = given.get("msi_res_id", "") or given.get("mi_res_id", "")
    if sum(bool(value) for value in (*ids, resource_id)) > 1:
        return errors.invalid_request("Only one of client_id, object_id and msi_res_id may be given")
    bypass = given.get("bypass_cache", "").lower() == "true"
    return TokenRequest(given["resource"], version, ids[0], ids[1], resource_id, bypass)
