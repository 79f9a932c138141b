"""The AdmissionReview that is sent to a webhook, and what its answer means.

Contract: Kubernetes API surface, section 3.3.
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

import msgspec

from podpass.kube.objects import Obj
from podpass.kube.status import StatusError
from podpass.lab.cluster.extension import AdmissionAttributes, Operation

API_VERSION = "admission.k8s.io/v1"
MAX_WARNING_CHARACTERS = 256
MAX_WARNINGS_CHARACTERS = 4096

_OPTIONS: dict[Operation, str] = {
    "CREATE": "CreateOptions",
    "UPDATE": "UpdateOptions",
    "DELETE": "DeleteOptions",
    "CONNECT": "CreateOptions",
}


@dataclass(frozen=True, slots=True)
class CallFailed:
    """The webhook gave no usable answer; its failure policy decides what happens."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A usable answer."""

    allowed: bool
    patch: list[Any] | None = None
    """The JSON Patch operations; None without a patch."""
    status: Obj = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    audit: dict[str, str] = field(default_factory=dict)


def review_body(attributes: AdmissionAttributes, uid: str, obj: Obj | None, old: Obj | None) -> Obj:
    """The request's body for one webhook."""
    request = {"uid": uid, **request_members(attributes)}
    request["object"], request["oldObject"] = typed(attributes, obj), typed(attributes, old)
    return {"kind": "AdmissionReview", "apiVersion": API_VERSION, "request": request}


def request_members(attributes: AdmissionAttributes) -> Obj:
    """The request without its id and its objects: what expressions know as `request`."""
    resource = attributes.kind.resource
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    if attributes.operation == "CONNECT":
        # What is admitted is no pod but what is asked of it.
        asked = attributes.kind.subresources[attributes.subresource]
        kind = {"group": asked.group, "version": asked.version, "kind": asked.kind}
    plural = {"group": resource.group, "version": resource.version, "resource": resource.plural}
    request: Obj = {
        "kind": kind,
        "resource": plural,
        "requestKind": kind,
        "requestResource": plural,
        "operation": attributes.operation,
        "userInfo": attributes.user.info(),
        "dryRun": attributes.dry_run,
        "options": attributes.options or {"kind": _OPTIONS[attributes.operation], "apiVersion": "meta.k8s.io/v1"},
    }
    if attributes.subresource:
        request["subResource"] = request["requestSubResource"] = attributes.subresource
    if attributes.name:
        request["name"] = attributes.name
    if attributes.namespace:
        request["namespace"] = attributes.namespace
    return request


def typed(attributes: AdmissionAttributes, obj: Obj | None) -> Obj | None:
    """The object with its kind in front, which it may lack on its way to the store."""
    if obj is None:
        return None
    resource = attributes.kind.resource
    return {"kind": resource.kind, "apiVersion": resource.api_version, **obj}


def read_answer(body: bytes, uid: str, *, mutating: bool) -> Reviewed | CallFailed:
    """What the webhook's answer says, or why it is none."""
    try:
        review = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return CallFailed("received invalid webhook response: the body is not JSON")
    if not isinstance(review, dict):
        return _invalid("the body is not an object")
    kind, version = review.get("kind"), review.get("apiVersion")
    if kind != "AdmissionReview" or version != API_VERSION:
        return _invalid(f"expected webhook response of {API_VERSION}, Kind=AdmissionReview, got {version}, Kind={kind}")
    response = review.get("response")
    if not isinstance(response, dict):
        return CallFailed("webhook response was absent")
    if response.get("uid") != uid:
        return _invalid(f'expected response.uid="{uid}", got "{str(response.get("uid") or "")[:80]}"')
    patch, patch_type = response.get("patch"), response.get("patchType")
    operations: list[Any] | None = None
    if patch and not mutating:
        return _invalid("webhook returned response.patch for a validating webhook")
    if mutating:
        if patch and not patch_type:
            return _invalid("webhook returned response.patch but not response.patchType")
        if patch_type and not patch:
            return _invalid("webhook returned response.patchType but not response.patch")
        if patch:
            if patch_type != "JSONPatch":
                return _invalid(f'webhook returned invalid response.patchType of "{str(patch_type)[:40]}"')
            try:
                operations = msgspec.json.decode(base64.b64decode(patch, validate=True))
            except (binascii.Error, ValueError, TypeError, RecursionError):
                return _invalid("response.patch is not base64 of a JSON patch")
            if not isinstance(operations, list):
                return _invalid("response.patch is not a list of operations")
    status, warnings = response.get("status"), response.get("warnings")
    audit = response.get("auditAnnotations")
    return Reviewed(
        allowed=response.get("allowed") is True,
        patch=operations,
        status=status if isinstance(status, dict) else {},
        warnings=tuple(str(text) for text in warnings) if isinstance(warnings, list) else (),
        audit={str(key): str(value) for key, value in audit.items()} if isinstance(audit, dict) else {},
    )


def _invalid(why: str) -> CallFailed:
    return CallFailed(f"received invalid webhook response: {why}")


def denied(name: str, status: Obj) -> StatusError:
    """The error that the client gets for a review that was not allowed.

    Code and reason are the webhook's; a code that means no error becomes 400, as in the API server.
    """
    message, reason = status.get("message"), status.get("reason")
    why = f": {message or reason}" if message or reason else " without explanation"
    code = status.get("code")
    code = code if isinstance(code, int) and 400 <= code <= 599 else 400
    details = status.get("details")
    text = f'admission webhook "{name}" denied the request{why}'
    return StatusError(code, str(reason or ""), text, details if isinstance(details, dict) else None)


def call_failed(name: str, reason: str) -> StatusError:
    return StatusError.internal(f'failed calling webhook "{name}": {reason}')


def bounded_warnings(warnings: tuple[str, ...], spent: int = 0) -> tuple[str, ...]:
    """The warnings as they are sent: each cut, and none once all together are too long."""
    kept: list[str] = []
    for warning in warnings:
        text = " ".join(warning.split())[:MAX_WARNING_CHARACTERS]
        spent += len(text)
        if spent > MAX_WARNINGS_CHARACTERS:
            break
        kept.append(text)
    return tuple(kept)
