"""Application registrations: what an application is, apart from its service principal.

Only what decides something here has a meaning: names, Application ID URIs, the token version, credentials. The other
members are kept and shown as they were given. A deleted application is gone at once.
Contract: Azure HTTP surface, section 5.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from podpass.lab.clock import Clock, rfc3339
from podpass.lab.entra.directory import Application, Directory
from podpass.lab.entra.people import People
from podpass.lab.graph import credentials, errors
from podpass.lab.graph.calls import Call, parameters
from podpass.lab.graph.operations import Operation, Plain

KIND = "applications"
MAX_NAME, MAX_URIS, MAX_URI = 256, 50, 255
FILTERED = {"appid": "appId", "displayname": "displayName", "id": "id", "identifieruris": "identifierUris"}
_URI = re.compile(r"(?:api|https|http|urn|ms-appx)[:][^\s*?\"'<>|\\]+", re.IGNORECASE)
_KEPT: Mapping[str, type | tuple[type, ...]] = {
    "addIns": list,
    "appRoles": list,
    "defaultRedirectUri": str,
    "description": str,
    "disabledByMicrosoftStatus": str,
    "groupMembershipClaims": str,
    "info": dict,
    "isDeviceOnlyAuthSupported": bool,
    "isFallbackPublicClient": bool,
    "notes": str,
    "oauth2RequirePostResponse": bool,
    "optionalClaims": dict,
    "parentalControlSettings": dict,
    "publicClient": dict,
    "requestSignatureVerification": dict,
    "requiredResourceAccess": list,
    "samlMetadataUrl": str,
    "serviceManagementReference": str,
    "signInAudience": str,
    "spa": dict,
    "tags": list,
    "tokenEncryptionKeyId": str,
    "verifiedPublisher": dict,
    "web": dict,
}
"""The members that are kept without a meaning, with their types."""
_EMPTY: Mapping[str, Any] = {
    "addIns": [],
    "appRoles": [],
    "info": {},
    "publicClient": {"redirectUris": []},
    "requiredResourceAccess": [],
    "signInAudience": "AzureADMyOrg",
    "spa": {"redirectUris": []},
    "tags": [],
    "web": {
        "redirectUris": [],
        "implicitGrantSettings": {"enableAccessTokenIssuance": False, "enableIdTokenIssuance": False},
    },
}
READ_ONLY = frozenset({"id", "appId", "createdDateTime", "deletedDateTime", "publisherDomain", "applicationTemplateId"})


class Applications:
    """The registrations of every tenant. Every call raises GraphError when Graph would refuse."""

    name = KIND
    filtered = FILTERED

    def __init__(self, directory: Directory, people: People, clock: Clock) -> None:
        self._directory = directory
        self._people = people
        self._clock = clock

    def operations(self) -> tuple[Operation, ...]:
        return (*Plain(self).operations(), *credentials.operations(self, "application", self._directory, self._clock))

    def all(self, tenant_id: str) -> list[Application]:
        return [one for one in self._directory.applications(tenant_id) if one.registration_id]

    def find(self, tenant_id: str, name: str) -> Application:
        """By object id, or by client id as `(appId='…')` writes it. Raises GraphError."""
        found = self._directory.application_by_registration_id(tenant_id, name)
        if found is None and (by_client := re.fullmatch(r"\(appid='([^']+)'\)", name, re.IGNORECASE)):
            found = self._directory.application(tenant_id, by_client[1])
        if found is None or not found.registration_id:
            raise errors.not_found(name)
        return found

    def made(self, call: Call) -> Application:
        return self.create(call.tenant_id, parameters(call.body, dict[str, Any]))

    def create(
        self, tenant_id: str, given: dict[str, Any], *, client_id: str = "", registration_id: str = ""
    ) -> Application:
        """A new application of the members *given*, with ids of its own unless they are given, too."""
        if not given.get("displayName"):
            raise errors.bad_request("A value is required for property 'displayName' of resource 'Application'.")
        application = Application(
            tenant_id=tenant_id,
            client_id=client_id or str(uuid.uuid4()),
            object_id="",
            display_name="",
            registration_id=registration_id or str(uuid.uuid4()),
        )
        now = rfc3339(self._clock.now())
        self.update(application, given, created=now)
        return self.find(tenant_id, application.registration_id)

    def change(self, one: Application, body: bytes) -> None:
        self.update(one, parameters(body, dict[str, Any]))

    def delete(self, one: Application) -> None:
        with self._directory.transaction():
            self._directory.delete_application(one.tenant_id, one.client_id)
            for gone in (one.registration_id, one.object_id):
                if gone:
                    self._people.forget(gone)

    def update(self, application: Application, given: dict[str, Any], *, created: str = "") -> None:
        """Change what *given* names, all of it or nothing."""
        tenant_id, client_id = application.tenant_id, application.client_id
        members = {
            **self._directory.registration(tenant_id, client_id),
            **({"createdDateTime": created} if created else {}),
        }
        changed, keys = application, None
        for name, value in given.items():
            match name:
                case "displayName":
                    changed = replace(changed, display_name=_name(value))
                case "identifierUris":
                    changed = replace(changed, identifier_uris=self._uris(changed, value))
                case "api":
                    version, rest = _api(value)
                    changed = replace(changed, token_version=version)
                    members["api"] = {**members.get("api", {}), **rest}
                case "keyCredentials":
                    keys = value
                case "passwordCredentials":
                    if value:
                        raise errors.bad_request("Updates to passwordCredentials are made with addPassword.")
                case _ if name in _KEPT:
                    if value is not None and not isinstance(value, _KEPT[name]):
                        raise errors.bad_request(
                            f"Invalid value specified for property '{name}' of resource 'Application'."
                        )
                    members[name] = value
                case _ if name in READ_ONLY and not created:
                    raise errors.bad_request(f"Property '{name}' is read-only and cannot be set.")
                case _ if not name.startswith("@"):
                    raise errors.bad_request(f"Invalid property '{name[:64]}'.")
        with self._directory.transaction():
            self._directory.put_application(changed)
            self._directory.put_registration(tenant_id, client_id, members)
            if keys is not None:
                credentials.replace_certificates(self._directory, changed, "application", keys)

    def _uris(self, application: Application, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value) or len(value) > MAX_URIS:
            raise errors.bad_request("Invalid value specified for property 'identifierUris' of resource 'Application'.")
        for uri in value:
            if len(uri) > MAX_URI or _URI.fullmatch(uri) is None or uri.endswith("/"):
                raise errors.bad_request(
                    f"Invalid value specified for property 'identifierUris' of resource 'Application': '{uri[:120]}'"
                    " must be a URI with a scheme, such as api://, and without a slash at its end."
                )
            owner = self._directory.application_for_resource(application.tenant_id, uri)
            if owner is not None and owner.client_id != application.client_id:
                raise errors.conflict("Another object with the same value for property identifierUris already exists.")
        return tuple(dict.fromkeys(value))

    def members(self, one: Application) -> dict[str, Any]:
        return {
            "id": one.registration_id,
            "appId": one.client_id,
            "displayName": one.display_name,
            "identifierUris": list(one.identifier_uris),
        }

    def shown(self, application: Application) -> dict[str, Any]:
        """The application as Graph shows it."""
        tenant_id, client_id = application.tenant_id, application.client_id
        tenant = self._directory.tenant(tenant_id)
        kept = self._directory.registration(tenant_id, client_id)
        api = {
            "acceptMappedClaims": None,
            "knownClientApplications": [],
            "oauth2PermissionScopes": [],
            "preAuthorizedApplications": [],
            **kept.get("api", {}),
        }
        return {
            "id": application.registration_id,
            "deletedDateTime": None,
            "appId": client_id,
            "createdDateTime": kept.get("createdDateTime"),
            "displayName": application.display_name,
            **{name: _EMPTY.get(name) for name in _KEPT},
            **{name: value for name, value in kept.items() if name in _KEPT},
            "identifierUris": list(application.identifier_uris),
            "publisherDomain": tenant.domains[0] if tenant is not None and tenant.domains else None,
            "api": {**api, "requestedAccessTokenVersion": 2 if application.token_version == 2 else None},
            "keyCredentials": credentials.shown_certificates(self._directory, application, "application"),
            "passwordCredentials": credentials.shown_secrets(self._directory, application, "application"),
        }


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > MAX_NAME:
        raise errors.bad_request("Invalid value specified for property 'displayName' of resource 'Application'.")
    return value


def _api(value: Any) -> tuple[Any, dict[str, Any]]:
    """The version of access tokens for the application, and the other members of `api`."""
    if not isinstance(value, dict):
        raise errors.bad_request("Invalid value specified for property 'api' of resource 'Application'.")
    version = value.get("requestedAccessTokenVersion")
    if version not in (None, 1, 2) or isinstance(version, bool):
        raise errors.bad_request(
            "Invalid value specified for property 'requestedAccessTokenVersion' of resource 'ApiApplication'."
        )
    rest = {name: member for name, member in value.items() if name != "requestedAccessTokenVersion"}
    return 2 if version == 2 else 1, msgspec.to_builtins(rest)
