"""An existing cluster over its API: what it is, what is there of the lab, and the lab's objects in and out."""

import asyncio
import time
from collections.abc import Sequence

import msgspec

from podpass.azure.workload_identity import USE_LABEL
from podpass.kube.client import CALL_FAILURES, MERGE_PATCH, ApiError, Client
from podpass.kube.config import ConfigError
from podpass.kube.objects import Obj
from podpass.kube.resources import MUTATINGWEBHOOKCONFIGURATIONS, NAMESPACES, PODS, SERVICEACCOUNTS, Resource
from podpass.lab.existing.actions import Action
from podpass.lab.operator import OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT
from podpass.problems import PodpassError
from podpass.tokens.discovery import JWKS_PATH, WELL_KNOWN
from podpass.tokens.keys import JwkSet, UnusableKey

MOST_DOCUMENT_BYTES = 256 * 1024
TERMINATING_SECONDS = 20.0
CALLED_WITHIN_SECONDS = 8.0
"""How long an API server may take to know a new registration."""
_POLL_SECONDS = 0.2
_RESOURCES = {
    "Namespace": NAMESPACES,
    "ServiceAccount": SERVICEACCOUNTS,
    "MutatingWebhookConfiguration": MUTATINGWEBHOOKCONFIGURATIONS,
}


class IssuerUnreadable(Exception):
    """One of the two documents could not be had; the text says which and why."""


async def version(client: Client) -> str:
    """The API server's version. Raises ConfigError when it does not answer or knows nobody of the kubeconfig."""
    try:
        return str((await client.version()).get("gitVersion") or "unknown")
    except CALL_FAILURES as error:
        raise ConfigError(f"the cluster {client.access.server} does not answer: {error}") from error


async def issuer(client: Client) -> str:
    """The issuer of the cluster's tokens. Raises IssuerUnreadable."""
    found = (await _document(client, WELL_KNOWN)).get("issuer")
    if not isinstance(found, str) or not found:
        raise IssuerUnreadable(f"{WELL_KNOWN} names no issuer")
    return found


async def issuer_keys(client: Client) -> JwkSet:
    """The keys that the cluster signs with. Raises IssuerUnreadable."""
    try:
        return JwkSet.from_dict(await _document(client, JWKS_PATH))
    except UnusableKey as error:
        raise IssuerUnreadable(f"{JWKS_PATH}: {error}") from error


async def _document(client: Client, path: str) -> Obj:
    try:
        answer = await client.read(path)
    except CALL_FAILURES as error:
        raise IssuerUnreadable(f"{path}: {error}") from error
    if len(answer.body) > MOST_DOCUMENT_BYTES:
        raise IssuerUnreadable(f"{path}: larger than {MOST_DOCUMENT_BYTES} bytes")
    try:
        return msgspec.json.decode(answer.body, type=Obj)
    except msgspec.MsgspecError as error:
        raise IssuerUnreadable(f"{path}: {error}") from error


async def present(client: Client, wanted: Sequence[Obj]) -> list[Obj | None]:
    """The cluster's objects of the same kinds and names; a namespace that is being deleted is waited for.

    Raises PodpassError PP133.
    """
    with _told():
        return [await _present(client, obj) for obj in wanted]


async def _present(client: Client, wanted: Obj) -> Obj | None:
    resource, metadata = _resource(wanted["kind"]), wanted["metadata"]
    deadline = time.monotonic() + TERMINATING_SECONDS
    while True:
        try:
            found = await client.get(resource, metadata["name"], metadata.get("namespace"))
        except ApiError as error:
            if error.not_found:
                return None
            raise
        if not found["metadata"].get("deletionTimestamp") or time.monotonic() > deadline:
            # A list's items may come without it, and so may some servers' answers.
            return {**found, "kind": wanted["kind"]}
        await asyncio.sleep(_POLL_SECONDS)


async def carry_out(client: Client, actions: Sequence[Action]) -> None:
    """Raises PodpassError PP133 at the first that the cluster refuses."""
    for action in actions:
        with _told(str(action)):
            await _carry_out(client, action)


async def _carry_out(client: Client, action: Action) -> None:
    resource, namespace = _resource(action.kind), action.namespace or None
    match action.verb:
        case "create":
            assert action.wanted is not None
            await client.create(resource, action.wanted, namespace)
        case "update":
            await client.patch(resource, action.name, action.wanted, namespace, content_type=MERGE_PATCH)
        case "delete":
            try:
                await client.delete(resource, action.name, namespace, uid=action.uid)
            except ApiError as error:
                # Gone already, or another one of its name.
                if not error.not_found and not error.conflict:
                    raise
        case "keep" | "use" | "leave":
            pass


async def calls_the_webhook(client: Client) -> str:
    """Whether the API server calls the lab's webhook for a pod that asks for it: empty, or why it does not.

    A pod is created as a dry run, which leaves nothing behind.
    """
    pod: Obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "podpass-probe", "namespace": OPERATOR_NAMESPACE, "labels": {USE_LABEL: "true"}},
        "spec": {
            "serviceAccountName": OPERATOR_SERVICE_ACCOUNT,
            "containers": [{"name": "probe", "image": "podpass/demo"}],
        },
    }
    deadline = time.monotonic() + CALLED_WITHIN_SECONDS
    while True:
        why = "it created a pod without calling it"
        try:
            made = await client.create(PODS, pod, OPERATOR_NAMESPACE, dry_run=True)
            if _was_changed(made):
                return ""
        except ApiError as error:
            why = error.message
            if "failed calling webhook" in why:
                return why
        except CALL_FAILURES as error:
            why = str(error)
        if time.monotonic() > deadline:
            return why
        # A new registration, and a new service account, are known after a moment.
        await asyncio.sleep(_POLL_SECONDS)


def _was_changed(pod: Obj) -> bool:
    variables = (pod.get("spec") or {}).get("containers", [{}])[0].get("env") or ()
    return any(variable.get("name") == "AZURE_TENANT_ID" for variable in variables)


def _resource(kind: str) -> Resource:
    return _RESOURCES[kind]


class _told:  # noqa: N801 - reads as a phrase
    """Turn the cluster's refusal into a problem."""

    def __init__(self, what: str = "read what is there") -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, CALL_FAILURES):
            raise PodpassError("PP133", what=self._what, reason=str(error)) from error
