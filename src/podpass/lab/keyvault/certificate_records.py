"""What is kept of a certificate beside its versions: its policy and its newest operation, and how both are shown.

Contract: secrets store, section 3.5.
"""

from typing import Any

import msgspec

from podpass.lab.arm import Vault
from podpass.lab.keyvault.certificate_making import Issuer, Policy
from podpass.lab.keyvault.model import Attributes
from podpass.lab.keyvault.shelves import SERVICE
from podpass.lab.store import Store

_POLICY, _PENDING, _TOLD = "certificate-policy", "certificate-pending", "certificate-told"


class Pending(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The newest operation on a certificate. The private key waits here for its certificate, and does not show."""

    name: str
    """As the request wrote it."""
    request_id: str
    issuer: Issuer
    csr: str
    status: str = "completed"
    key: str = ""
    tags: dict[str, str] | None = None
    attributes: Attributes = Attributes()
    canceled: bool = False

    def __repr__(self) -> str:
        return f"Pending(status={self.status!r})"


class Records:
    """Policies and operations by vault and name."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def policy(self, vault: Vault, name: str) -> Policy | None:
        kept = self._store.get(SERVICE, _POLICY, _place(vault, name))
        return None if kept is None else msgspec.convert(kept, Policy)

    def keep_policy(self, vault: Vault, name: str, policy: Policy) -> None:
        self._store.put(SERVICE, _POLICY, _place(vault, name), msgspec.to_builtins(policy))

    def pending(self, vault: Vault, name: str) -> Pending | None:
        kept = self._store.get(SERVICE, _PENDING, _place(vault, name))
        return None if kept is None else msgspec.convert(kept, Pending)

    def keep_pending(self, vault: Vault, pending: Pending) -> None:
        self._store.put(SERVICE, _PENDING, _place(vault, pending.name), msgspec.to_builtins(pending))

    def forget_pending(self, vault: Vault, name: str) -> None:
        self._store.delete(SERVICE, _PENDING, _place(vault, name))

    def told(self, vault: Vault, name: str) -> str:
        """The version whose coming expiry the contacts know of; empty when of none."""
        return str(self._store.get(SERVICE, _TOLD, _place(vault, name)) or "")

    def keep_told(self, vault: Vault, name: str, version: str) -> None:
        self._store.put(SERVICE, _TOLD, _place(vault, name), version)

    def forget(self, vault: Vault, name: str) -> None:
        for kind in (_POLICY, _PENDING, _TOLD):
            self._store.delete(SERVICE, kind, _place(vault, name))

    def drop(self, instance: str) -> None:
        """Forget everything of a purged vault."""
        for kind in (_POLICY, _PENDING, _TOLD):
            for key, _ in self._store.items(SERVICE, kind, f"{instance}/"):
                self._store.delete(SERVICE, kind, key)


def shown_policy(policy: Policy, name: str, origin: str) -> dict[str, Any]:
    """A policy with what the service decided, too. *origin* is `https://{host}` as the client called it."""
    shown: dict[str, Any] = msgspec.to_builtins(policy)
    shown["key_props"] = {
        "exportable": policy.key_props.exportable,
        "kty": policy.key_props.kty,
        "reuse_key": policy.key_props.reuse_key,
        **shown.get("key_props", {}),
    }
    shown["secret_props"] = {"contentType": policy.secret_props.content_type}
    shown["x509_props"] = {
        "validity_months": policy.x509_props.validity_months,
        "basic_constraints": {"ca": False},
        **shown.get("x509_props", {}),
    }
    shown["issuer"] = {"name": policy.issuer.name, **shown.get("issuer", {})}
    return {"id": f"{origin}/certificates/{name}/policy", **shown}


def shown_operation(pending: Pending, origin: str, *, status: str = "") -> dict[str, Any]:
    """An operation; *status* takes the place of its own."""
    base = f"{origin}/certificates/{pending.name}"
    document: dict[str, Any] = {
        "id": f"{base}/pending",
        "issuer": {"name": pending.issuer.name, **msgspec.to_builtins(pending.issuer)},
        "csr": pending.csr,
        "cancellation_requested": pending.canceled,
        "status": status or pending.status,
        "request_id": pending.request_id,
    }
    if (status or pending.status) == "completed":
        document["target"] = base
    elif pending.key:
        document["status_details"] = "Pending certificate created. Please Perform Merge to complete the request."
    return document


def _place(vault: Vault, name: str) -> str:
    return f"{vault.instance}/{name.lower()}"
