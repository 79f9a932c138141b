"""Which service principals a request means, and how Graph shows one.

Contract: Azure HTTP surface, section 5.
"""

import re
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from podpass.lab.entra.directory import Application

MOST_IDS = 1_000
_BY_NAME = re.compile(r"\s*servicePrincipalNames/any\(\s*(\w+)\s*:\s*\1\s+eq\s+'((?:[^']|'')*)'\s*\)\s*", re.IGNORECASE)


class ObjectIds(msgspec.Struct, frozen=True, kw_only=True):
    """The body of directoryObjects/getByIds."""

    ids: list[str]
    types: list[str] | None = None


def name_asked_for(text: str) -> str | None:
    """The name in a filter `servicePrincipalNames/any(c:c eq '…')`; None for any other filter."""
    found = _BY_NAME.fullmatch(text)
    return None if found is None else found[2].replace("''", "'")


def named(applications: Iterable[Application], name: str) -> list[dict[str, Any]]:
    """The service principals that have *name* among their names, in any letter case."""
    wanted = name.lower()
    return [
        service_principal(application)
        for application in applications
        if wanted in (other.lower() for other in names_of(application))
    ]


def with_ids(applications: Iterable[Application], asked: ObjectIds) -> list[dict[str, Any]]:
    """The directory objects with these object ids; ids that nothing has are left out, as Graph does."""
    if not _are_wanted(asked.types):
        return []
    wanted = {each.lower() for each in asked.ids}
    return [
        {"@odata.type": "#microsoft.graph.servicePrincipal", **service_principal(application)}
        for application in applications
        if application.object_id.lower() in wanted
    ]


def names_of(application: Application) -> tuple[str, ...]:
    return (application.client_id, *application.identifier_uris)


def service_principal(application: Application) -> dict[str, Any]:
    managed = application.kind == "managed-identity"
    return {
        "id": application.object_id,
        "accountEnabled": application.enabled,
        "alternativeNames": ["isExplicit=True", application.resource_id] if application.resource_id else [],
        "appDisplayName": application.display_name,
        "appId": application.client_id,
        "displayName": application.display_name,
        "servicePrincipalNames": list(names_of(application)),
        "servicePrincipalType": "ManagedIdentity" if managed else "Application",
    }


def _are_wanted(types: Collection[str] | None) -> bool:
    return not types or any(each.lower() in ("serviceprincipal", "directoryobject") for each in types)
