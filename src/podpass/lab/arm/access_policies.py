"""Access policies: what each principal may do in a vault without role-based access.

Contract: secrets store, section 4.2.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from podpass.lab.arm import errors
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.model import Answer, Call, Operation

TYPE = "Microsoft.KeyVault/vaults/accessPolicies"
MAX_POLICIES = 1024


class Permissions(msgspec.Struct, frozen=True, omit_defaults=True):
    """The permissions of an access policy by what they are for, in any letter case."""

    keys: list[str] | None = None
    secrets: list[str] | None = None
    certificates: list[str] | None = None
    storage: list[str] | None = None


class PolicyBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An access policy as a request spells it."""

    tenant_id: str
    object_id: str
    permissions: Permissions
    application_id: str | None = None


class _PolicyList(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    access_policies: list[PolicyBody]


class _ChangeBody(msgspec.Struct, frozen=True):
    properties: _PolicyList


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """What one principal may do in a vault without role-based access. Words are in lower case."""

    tenant_id: str
    object_id: str
    application_id: str
    permissions: Mapping[str, frozenset[str]]


def read(policies: Iterable[Mapping[str, Any]]) -> tuple[AccessPolicy, ...]:
    """Stored policies as values."""
    return tuple(
        AccessPolicy(
            tenant_id=policy["tenantId"],
            object_id=policy["objectId"],
            application_id=policy.get("applicationId") or "",
            permissions={
                kind: frozenset(word.lower() for word in words) for kind, words in policy["permissions"].items()
            },
        )
        for policy in policies
    )


def checked(policies: Iterable[PolicyBody], tenant_id: str) -> list[dict[str, Any]]:
    """The policies as they are stored, each permission word checked. Raises ArmError."""
    shown: list[dict[str, Any]] = []
    for policy in policies:
        permissions: dict[str, list[str]] = {}
        for kind, words in msgspec.to_builtins(policy.permissions).items():
            for word in words:
                if word.lower() not in WORDS[kind]:
                    raise errors.bad_request(f"The permission '{word}' is not valid for {kind}.")
            permissions[kind] = list(words)
        if policy.tenant_id.lower() != tenant_id.lower():
            raise errors.bad_request(
                f"An access policy names the tenant '{policy.tenant_id}', which is not the vault's."
            )
        entry: dict[str, Any] = {"tenantId": tenant_id, "objectId": policy.object_id.lower()}
        if policy.application_id:
            entry["applicationId"] = policy.application_id.lower()
        shown.append({**entry, "permissions": permissions})
    if len(shown) > MAX_POLICIES:
        raise errors.bad_request(f"A vault can have at most {MAX_POLICIES} access policies.")
    return shown


def merged(
    present: Iterable[Mapping[str, Any]], given: Iterable[Mapping[str, Any]], *, how: str
) -> list[Mapping[str, Any]]:
    """Access policies after `add`, `replace` or `remove` of *given*, matched by object and application."""

    def key(policy: Mapping[str, Any]) -> tuple[str, str]:
        return policy["objectId"].lower(), (policy.get("applicationId") or "").lower()

    result = {key(policy): policy for policy in present}
    for policy in given:
        before = result.get(key(policy))
        if how == "replace" or (how == "add" and before is None):
            result[key(policy)] = policy
        elif before is not None:
            permissions = _merged_words(before["permissions"], policy["permissions"], adding=how == "add")
            if any(permissions.values()):
                result[key(policy)] = {**before, "permissions": permissions}
            else:
                del result[key(policy)]
    return list(result.values())


def _merged_words(
    before: Mapping[str, list[str]], given: Mapping[str, list[str]], *, adding: bool
) -> dict[str, list[str]]:
    merged = dict(before)
    for kind, words in given.items():
        present = before.get(kind, [])
        lowered = {word.lower() for word in (present if adding else words)}
        if adding:
            merged[kind] = [*present, *(word for word in words if word.lower() not in lowered)]
        else:
            merged[kind] = [word for word in present if word.lower() not in lowered]
    return merged


def _change_policies(estate: Estate, call: Call) -> Answer:
    if call.address.tail:
        raise errors.method_not_allowed(call.method, TYPE)
    how = call.address.id.name.lower()
    if how not in ("add", "replace", "remove"):
        raise errors.bad_request(f"'{how}' is no operation on access policies; use add, replace or remove.")
    try:
        given = msgspec.json.decode(call.body, type=_ChangeBody).properties.access_policies
    except msgspec.DecodeError as error:
        raise errors.invalid_content(str(error)) from error
    present = estate.require(call.address.id.parent)
    changed = merged(present.properties["accessPolicies"], checked(given, present.properties["tenantId"]), how=how)
    content = {"properties": {"accessPolicies": changed}}
    resource = estate.patch(call.address.id.parent, content, actor=call.actor, api_version=call.api_version)
    return Answer(
        200,
        {
            "id": f"{resource.id}/accessPolicies/",
            "type": TYPE,
            "location": resource.location,
            "properties": {"accessPolicies": resource.properties["accessPolicies"]},
        },
    )


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


WORDS: Mapping[str, frozenset[str]] = {
    "secrets": _words("all get list set delete backup restore recover purge"),
    "keys": _words(
        "all encrypt decrypt wrapkey unwrapkey sign verify get list create update import delete backup restore recover "
        "purge release rotate getrotationpolicy setrotationpolicy"
    ),
    "certificates": _words(
        "all get list delete create import update managecontacts getissuers listissuers setissuers deleteissuers "
        "manageissuers recover purge backup restore"
    ),
    "storage": _words(
        "all get list delete set update regeneratekey recover purge backup restore getsas listsas deletesas setsas"
    ),
}
"""The permissions there are on each type of object, in lower case."""

OPERATIONS = (Operation(method="PUT", path=TYPE, action=f"{TYPE}/write", run=_change_policies),)
