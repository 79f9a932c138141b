"""The manifests that move a workload: its service account, and the workload itself. Pure.

Contract: pod identity, section 7.1 (3).
"""

import copy
import shlex
from dataclasses import dataclass
from typing import Any

from podpass.azure.clouds import PUBLIC
from podpass.azure.resourceids import NotAResourceId, ResourceId
from podpass.azure.workload_identity import CLIENT_ID, DEFAULT_EXPIRATION_SECONDS, EXPIRATION, TENANT_ID, USE_LABEL
from podpass.kube.objects import Obj
from podpass.migrate.estate import Estate, template_of
from podpass.migrate.plan import Plan

IMAGES = "mcr.microsoft.com/oss/azure/workload-identity"
TAG = "v1.5.1"
INIT, PROXY = "azwi-proxy-init", "azwi-proxy"
_OF_THE_SERVER = ("managedFields", "uid", "resourceVersion", "creationTimestamp", "generation", "selfLink")
_OF_A_JOB = ("controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name")


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user decides about the files."""

    expiration_seconds: int = DEFAULT_EXPIRATION_SECONDS
    tenant_id: str = ""
    proxy_port: int | None = 8000
    """Where the proxy listens that answers old programs in place of the metadata service; None for no proxy."""


def service_account(plan: Plan, estate: Estate, choices: Choices) -> Obj:
    """The account with the annotations by which the webhook knows its identity."""
    _, namespace, _ = plan.key
    known = estate.accounts.get((namespace, plan.account)) if not plan.makes_account else None
    account = _cleaned(known or {"metadata": {"name": plan.account, "namespace": namespace}})
    annotations = account["metadata"].setdefault("annotations", {})
    annotations[CLIENT_ID] = plan.client_id
    annotations[EXPIRATION] = str(choices.expiration_seconds)
    if choices.tenant_id:
        annotations[TENANT_ID] = choices.tenant_id
    return {"apiVersion": "v1", "kind": "ServiceAccount", **account}


def workload(plan: Plan, estate: Estate, choices: Choices) -> Obj:
    """The workload with that account, the label that asks for a token, and the proxy where it is wanted."""
    made = _cleaned(estate.workloads[plan.key])
    template = template_of(made)
    spec = template.setdefault("spec", {})
    template.setdefault("metadata", {}).setdefault("labels", {})[USE_LABEL] = "true"
    spec["serviceAccountName"] = plan.account
    spec.pop("serviceAccount", None)
    # Where it ran is the scheduler's to decide anew.
    spec.pop("nodeName", None)
    if plan.key[0] == "Job":
        made["spec"].pop("selector", None)
        for labels in (made["metadata"].get("labels"), template["metadata"]["labels"]):
            for name in _OF_A_JOB:
                (labels or {}).pop(name, None)
    if choices.proxy_port is not None:
        spec["initContainers"] = _with(spec.get("initContainers"), _proxy_init(choices.proxy_port))
        spec["containers"] = _with(spec.get("containers"), _proxy(choices.proxy_port))
    return made


def trust_command(plan: Plan, issuer: str) -> str:
    """What lets the identity trust the account."""
    _, namespace, _ = plan.key
    try:
        identity = ResourceId.parse(plan.resource_id)
    except NotAResourceId:
        return f"# the resource id of {plan.identity} can't be read: {plan.resource_id}"
    words = ["az", "identity", "federated-credential", "create", "--name", f"{namespace}-{plan.account}"[:120]]
    words += ["--identity-name", identity.name, "--resource-group", identity.group]
    words += ["--subscription", identity.subscription, "--issuer", issuer]
    words += ["--subject", f"system:serviceaccount:{namespace}:{plan.account}"]
    words += ["--audience", PUBLIC.token_exchange_audience]
    return " ".join('"$ISSUER"' if word == "$ISSUER" else shlex.quote(word) for word in words)


def _cleaned(obj: Obj) -> Obj:
    """A copy without what only the server says, so that it can be applied."""
    made = copy.deepcopy(obj)
    made.pop("status", None)
    metadata = made.setdefault("metadata", {})
    for member in _OF_THE_SERVER:
        metadata.pop(member, None)
    annotations = metadata.get("annotations") or {}
    annotations.pop("kubectl.kubernetes.io/last-applied-configuration", None)
    if not annotations:
        metadata.pop("annotations", None)
    return made


def _with(containers: list[Obj] | None, added: Obj) -> list[Obj]:
    """*containers* and *added*, unless one of that image is there."""
    repository = str(added["image"]).rpartition(":")[0]
    found = list(containers or ())
    if any(str(each.get("image", "")).partition("@")[0].rpartition(":")[0] == repository for each in found):
        return found
    return [*found, added]


def _proxy_init(port: int) -> dict[str, Any]:
    capabilities = {"add": ["NET_ADMIN"], "drop": ["ALL"]}
    return {
        "name": INIT,
        "image": f"{IMAGES}/proxy-init:{TAG}",
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "PROXY_PORT", "value": str(port)}],
        "securityContext": {"privileged": True, "runAsUser": 0, "capabilities": capabilities},
    }


def _proxy(port: int) -> dict[str, Any]:
    arguments = [f"--proxy-port={port}", "--log-level=info"]
    probe = ["/proxy", f"--proxy-port={port}", "--probe", "--log-level=info"]
    return {
        "name": PROXY,
        "image": f"{IMAGES}/proxy:{TAG}",
        "imagePullPolicy": "IfNotPresent",
        "args": arguments,
        "ports": [{"containerPort": port}],
        "lifecycle": {"postStart": {"exec": {"command": probe}}},
    }
