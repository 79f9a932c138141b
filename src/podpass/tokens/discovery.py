"""Issuers and their discovery documents (OpenID Connect Discovery 1.0).

Contract: azure workload identity, sections 4.1 and 5.6 (70022, 70024).
"""

import functools
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

WELL_KNOWN = "/.well-known/openid-configuration"
JWKS_PATH = "/openid/v1/jwks"
"""Where a Kubernetes API server publishes its keys, below the issuer."""


class BadMetadata(ValueError):
    """The discovery document can't be used. *missing* names the member it lacks, if that is the reason."""

    def __init__(self, reason: str, *, missing: str = "") -> None:
        super().__init__(reason)
        self.reason, self.missing = reason, missing


def discovery_url(issuer: str) -> str:
    """Where the issuer's document is; a trailing slash of the issuer is not doubled."""
    return issuer.removesuffix("/") + WELL_KNOWN


def jwks_url(issuer: str) -> str:
    """Where a Kubernetes issuer's keys are."""
    return issuer.removesuffix("/") + JWKS_PATH


def issuer_document(issuer: str, jwks_uri: str, algorithms: Iterable[str]) -> dict[str, Any]:
    """The five members that a Kubernetes API server publishes, algorithms sorted and without repeats."""
    return {
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted(set(algorithms)),
    }


def read_metadata(document: object, issuer: str) -> str:
    """The `jwks_uri` of the issuer's document. Raises BadMetadata.

    The document's `issuer` equals *issuer* byte for byte. The keys must be on the issuer's own host and port: whoever
    can write one document must not be able to send the reader to a machine that trusts it more.
    """
    if not isinstance(document, Mapping):
        raise BadMetadata("the document is not a JSON object")
    for member in ("issuer", "jwks_uri"):
        if not isinstance(document.get(member), str) or not document[member]:
            raise BadMetadata(f"the document lacks {member}", missing=member)
    if document["issuer"] != issuer:
        raise BadMetadata(f"the document is for issuer {_short(document['issuer'])}")
    jwks_uri: str = document["jwks_uri"]
    if _origin(jwks_uri) != _origin(issuer):
        raise BadMetadata(f"jwks_uri {_short(jwks_uri)} is not on the issuer's host")
    return jwks_uri


def unfetchable(url: str, *, allow_http_loopback: bool = False) -> str:
    """Why *url* must not be fetched, or an empty string: https only, and no user name in it."""
    parts = _split(url)
    if parts is None or not parts.hostname:
        return "it is not a URL"
    if parts.username is not None or parts.password is not None:
        return "it holds a user name"
    if parts.scheme == "https" or (allow_http_loopback and parts.scheme == "http" and is_loopback(parts.hostname)):
        return ""
    return "it is not https"


@functools.lru_cache(maxsize=256)
def unfederatable(issuer: str) -> str:
    """Why Entra would not federate with this issuer, or an empty string: https, not loopback, no query or fragment."""
    parts = _split(issuer)
    if parts is None or not parts.hostname:
        return "is not a URL"
    if parts.scheme != "https":
        return "does not use HTTPS"
    if "?" in issuer or "#" in issuer:
        return "has a query or a fragment"
    if is_loopback(parts.hostname):
        return "is a loopback address"
    return ""


def is_loopback(host: str) -> bool:
    """Whether the host is this machine by its very spelling; no name is resolved."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_DEFAULT_PORTS = {"https": 443, "http": 80}


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _origin(url: str) -> tuple[str, str, int | None] | None:
    parts = _split(url)
    if parts is None:
        return None
    return parts.scheme, (parts.hostname or ""), parts.port or _DEFAULT_PORTS.get(parts.scheme)


def _short(text: str) -> str:
    return repr(text if len(text) <= 200 else text[:200] + "…")
