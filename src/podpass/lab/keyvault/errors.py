"""How the lab's vaults refuse: codes, texts and the envelope.

Contract: secrets store, section 3.6.
"""

from collections.abc import Mapping
from typing import Any, TypedDict

from podpass.lab.keyvault.operations import ObjectType


class _Explanation(TypedDict, total=False):
    problem: str
    values: Mapping[str, Any]


class KeyVaultError(Exception):
    """A refusal as Key Vault words it.

    *problem* is the catalogue's code, *values* fill its remedy; neither is sent to the client.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        inner: str = "",
        *,
        headers: tuple[tuple[str, str], ...] = (),
        problem: str = "",
        values: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"({code}) {message}")
        self.status, self.code, self.message, self.inner, self.headers = status, code, message, inner, headers
        self.problem, self.values = problem, dict(values or {})

    @property
    def wire(self) -> str:
        """The most telling code: the inner one where there is one."""
        return self.inner or self.code

    def to_dict(self) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.inner:
            error["innererror"] = {"code": self.inner}
        return {"error": error}


def bad_parameter(message: str) -> KeyVaultError:
    return KeyVaultError(400, "BadParameter", message)


def invalid_name(kind: str, name: str) -> KeyVaultError:
    return bad_parameter(f"The request URI contains an invalid name: {name[:200]} ({kind})")


def api_version_missing() -> KeyVaultError:
    return bad_parameter("The request URI does not specify the api-version query parameter.")


def api_version_unknown(version: str) -> KeyVaultError:
    return bad_parameter(
        f"The specified version ({version[:60]}) is not recognized. Consider using the latest supported version."
    )


def unauthorized(message: str, challenge: str) -> KeyVaultError:
    return KeyVaultError(401, "Unauthorized", message, headers=(("WWW-Authenticate", challenge),))


def vault_not_found(host: str) -> KeyVaultError:
    return KeyVaultError(
        404,
        "VaultNotFound",
        f"The vault at {host[:260]} was not found.",
        problem="PP304",
        values={"vault": host.partition(".")[0]},
    )


def object_not_found(object_type: ObjectType, vault: str, name: str, version: str = "") -> KeyVaultError:
    shown = f"{name}/{version}" if version else name
    kind = object_type.singular
    return KeyVaultError(
        404,
        f"{kind.title()}NotFound",
        f"A {kind} with (name/id) {shown} was not found in this key vault. If you recently deleted this {kind} you may "
        "be able to recover it using the correct recovery command. For help resolving this issue, please see "
        "https://go.microsoft.com/fwlink/?linkid=2125182",
        **_about_secret("PP303", object_type, vault, name),
    )


def deleted_object_not_found(object_type: ObjectType, vault: str, name: str) -> KeyVaultError:
    kind = object_type.singular.title()
    return KeyVaultError(
        404, f"{kind}NotFound", f"Deleted {kind} not found: {name}", **_about_secret("PP303", object_type, vault, name)
    )


def disabled(object_type: ObjectType, vault: str, name: str, operation: str) -> KeyVaultError:
    return KeyVaultError(
        403,
        "Forbidden",
        f"Operation {operation} is not allowed on a disabled {object_type.singular}.",
        f"{object_type.singular.title()}Disabled",
        **_about_secret("PP309", object_type, vault, name),
    )


def deleted_but_recoverable(object_type: ObjectType, vault: str, name: str) -> KeyVaultError:
    kind = object_type.singular
    return KeyVaultError(
        409,
        "Conflict",
        f"{kind.title()} {name} is currently in a deleted but recoverable state, and its name cannot be reused; in "
        f"this state, the {kind} can only be recovered or purged.",
        "ObjectIsDeletedButRecoverable",
        **_about_secret("PP307", object_type, vault, name),
    )


def _about_secret(problem: str, object_type: ObjectType, vault: str, name: str) -> _Explanation:
    """The problem with its values where the catalogue has one: its entries about objects are about secrets."""
    if object_type is not ObjectType.SECRET:
        return {}
    return {"problem": problem, "values": {"vault": vault, "secret": name}}


def already_exists(object_type: ObjectType, name: str) -> KeyVaultError:
    kind = object_type.singular
    return KeyVaultError(409, "Conflict", f"A {kind} with the name {name} already exists in this key vault.")


def managed(object_type: ObjectType, name: str) -> KeyVaultError:
    """For a key or secret that belongs to a certificate."""
    kind = object_type.singular
    return KeyVaultError(
        403,
        "Forbidden",
        f"The {kind} {name} is managed by Key Vault: it belongs to the certificate of that name, and only operations "
        "on the certificate change it.",
        f"{kind.title()}ManagedByKeyVault",
    )


def pending_certificate_not_found(name: str) -> KeyVaultError:
    return KeyVaultError(404, "PendingCertificateNotFound", f"Pending certificate not found: {name}")


def issuer_not_found(name: str) -> KeyVaultError:
    return KeyVaultError(404, "CertificateIssuerNotFound", f"Certificate issuer not found: {name}")


def contacts_not_found() -> KeyVaultError:
    return KeyVaultError(404, "ContactsNotFound", "Contacts not found")


def throttled(retry_after: int) -> KeyVaultError:
    """*retry_after* in seconds."""
    return KeyVaultError(
        429,
        "Throttled",
        "Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached",
        headers=(("Retry-After", str(retry_after)),),
    )


def outside_lifetime(operation: str, inner: str) -> KeyVaultError:
    """For a key that is not valid yet, or no longer."""
    state = "not yet valid" if inner == "KeyNotYetValid" else "expired"
    return KeyVaultError(403, "Forbidden", f"Operation {operation} is not allowed on a key that is {state}.", inner)


def operation_not_permitted(operation: str) -> KeyVaultError:
    """For an operation that is not among the key's own `key_ops`."""
    return KeyVaultError(
        403, "Forbidden", f"Operation {operation} is not permitted on this key.", "KeyOperationForbidden"
    )


def purge_protected(name: str) -> KeyVaultError:
    return KeyVaultError(
        403,
        "Forbidden",
        f'Operation "purge" is not enabled for this vault. ({name})',
        "ForbiddenByPolicy",
    )


def method_not_allowed(method: str) -> KeyVaultError:
    return KeyVaultError(405, "MethodNotAllowed", f"The HTTP method {method} is not allowed on this resource.")


def not_found(path: str) -> KeyVaultError:
    return KeyVaultError(404, "NotFound", f"The requested resource does not exist: {path[:200]}")


def not_emulated(what: str) -> KeyVaultError:
    """For what a real vault does and the lab's does not: said openly, never answered with an invented result."""
    return KeyVaultError(501, "NotImplemented", f"The lab does not emulate {what}.")


def too_large(limit: int) -> KeyVaultError:
    return KeyVaultError(413, "RequestEntityTooLarge", f"The request body is larger than {limit} bytes.")


def not_stored(reason: str) -> KeyVaultError:
    return KeyVaultError(500, "InternalError", f"The change could not be stored: {reason}. Nothing was changed.")
