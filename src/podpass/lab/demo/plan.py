"""What the demonstration sets up, and what each `--break` changes in it. Values only."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from podpass.azure.clouds import PUBLIC
from podpass.azure.workload_identity import CLIENT_ID, USE_LABEL

AUDIENCE = PUBLIC.token_exchange_audience
READER_ROLE = "Key Vault Secrets User"
SKEW_SECONDS = -2 * 3600


class Break(StrEnum):
    """The one thing that is wrong."""

    ISSUER_SLASH = "issuer-slash"
    WRONG_SUBJECT = "wrong-subject"
    WRONG_AUDIENCE = "wrong-audience"
    EXPIRED = "expired"
    NO_LABEL = "no-label"
    NO_ROLE = "no-role"
    ISSUER_DOWN = "issuer-down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Names and trust of one demonstration."""

    suffix: str
    """Makes the names that are global in Azure unique."""
    issuer: str
    """The issuer that the federated credential names."""
    subject: str
    audience: str = AUDIENCE
    labelled: bool = True
    may_read: bool = True
    issuer_unreachable: bool = False
    cluster_skew_seconds: float = 0.0
    namespace: str = "shop"
    service_account: str = "orders"
    pod: str = "orders"
    group: str = "shop"
    location: str = "eastus"
    identity: str = "orders"
    credential: str = "orders-in-cluster"
    secret: str = "payments-connection"  # noqa: S105 - its name, not its value

    @property
    def vault(self) -> str:
        return f"kv-shop-{self.suffix}"

    @property
    def vault_url(self) -> str:
        return f"https://{self.vault}.vault.azure.net"


def plan(*, issuer: str, suffix: str, broken: Break | None = None) -> Plan:
    """The plan that works, or the one with the single fault *broken*. *issuer* is the cluster's, slash included."""
    sound = Plan(suffix=suffix, issuer=issuer, subject="system:serviceaccount:shop:orders")
    match broken:
        case None:
            return sound
        case Break.ISSUER_SLASH:
            return replace(sound, issuer=issuer.rstrip("/"))
        case Break.WRONG_SUBJECT:
            return replace(sound, subject="system:serviceaccount:default:orders")
        case Break.WRONG_AUDIENCE:
            return replace(sound, audience="api://AzureADTokenExchangeUSGov")
        case Break.EXPIRED:
            return replace(sound, cluster_skew_seconds=SKEW_SECONDS)
        case Break.NO_LABEL:
            return replace(sound, labelled=False)
        case Break.NO_ROLE:
            return replace(sound, may_read=False)
        case Break.ISSUER_DOWN:
            return replace(sound, issuer_unreachable=True)


def wrong_with(broken: Break) -> str:
    """The fault in one sentence."""
    return {
        Break.ISSUER_SLASH: "the federated credential names the issuer without its trailing slash",
        Break.WRONG_SUBJECT: "the federated credential names a service account of another namespace",
        Break.WRONG_AUDIENCE: "the federated credential asks for another cloud's audience",
        Break.EXPIRED: "the cluster's clock is two hours behind, so its tokens have expired when the cloud sees them",
        Break.NO_LABEL: f"the pod has no label {USE_LABEL}",
        Break.NO_ROLE: f"the identity has no role {READER_ROLE!r} on the vault",
        Break.ISSUER_DOWN: "the cluster's issuer can't be reached by the cloud",
    }[broken]


def mends_in_lab(broken: Break) -> str:
    """The command that takes back a fault which no API of a cloud or a cluster can make; empty for the others."""
    return {
        Break.EXPIRED: "podpass lab fault --cluster-skew-seconds 0",
        Break.ISSUER_DOWN: "podpass lab fault --no-issuer-unreachable",
    }.get(broken, "")


def namespace_object(plan: Plan) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": plan.namespace}}


def service_account_object(plan: Plan, client_id: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": plan.service_account,
            "namespace": plan.namespace,
            "annotations": {CLIENT_ID: client_id},
        },
    }


def pod_object(plan: Plan, program: str) -> dict[str, Any]:
    """The pod as a user would write it: no AZURE_* variable, no token volume; those come from the webhook."""
    metadata: dict[str, Any] = {"name": plan.pod, "namespace": plan.namespace}
    if plan.labelled:
        metadata["labels"] = {USE_LABEL: "true"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "serviceAccountName": plan.service_account,
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "app",
                    "image": "python:3",
                    "command": ["python", "-c", program],
                    "env": [
                        {"name": "VAULT_URL", "value": plan.vault_url},
                        {"name": "SECRET_NAME", "value": plan.secret},
                    ],
                }
            ],
        },
    }
