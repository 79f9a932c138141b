"""The admission review as it travels: parsed once, answered in the version it came in.

Contract: azure workload identity, section 1.2; the Kubernetes API surface, section 3.3.
"""

import base64
from dataclasses import dataclass
from typing import Any

import msgspec

from podpass.webhook.azure import Denial, Mutation

API_VERSIONS = frozenset({"admission.k8s.io/v1", "admission.k8s.io/v1beta1"})
DEFAULT_API_VERSION = "admission.k8s.io/v1"
MAX_BODY_BYTES = 7 * 1024 * 1024
MAX_WARNINGS_CHARACTERS = 4096


class _Kind(msgspec.Struct, frozen=True):
    kind: str = ""


class _Request(msgspec.Struct, frozen=True, rename="camel"):
    uid: str
    kind: _Kind = msgspec.field(default_factory=_Kind)
    sub_resource: str = ""
    name: str = ""
    namespace: str = ""
    operation: str = ""
    dry_run: bool | None = None
    object: dict[str, Any] | None = None


class _Review(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    request: _Request | None = None


_REVIEW = msgspec.json.Decoder(_Review)
_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class PodReview:
    """A pod that asks to be admitted. *concerns* is False when it is none of our business: not a creation."""

    api_version: str
    uid: str
    namespace: str
    operation: str
    dry_run: bool
    pod: dict[str, Any]
    concerns: bool

    @property
    def service_account(self) -> str:
        spec = self.pod.get("spec")
        name = spec.get("serviceAccountName") if isinstance(spec, dict) else None
        return name if isinstance(name, str) and name else "default"


@dataclass(frozen=True, slots=True)
class BadReview:
    """No pod could be read; it is answered all the same, with what is known of whom to answer."""

    message: str
    code: int = 400
    api_version: str = DEFAULT_API_VERSION
    uid: str = ""


def parse(body: bytes, media_type: str) -> PodReview | BadReview:
    """The pod under review, or what is wrong with the request."""
    if media_type != "application/json":
        return BadReview(f"contentType={media_type}, expected application/json")
    if not body:
        return BadReview("request body is empty")
    try:
        review = _REVIEW.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        return BadReview(f"the body is not an AdmissionReview: {error}")
    if review.kind != "AdmissionReview" or review.api_version not in API_VERSIONS:
        return BadReview(f"no kind {review.kind!r} is known in version {review.api_version!r}")
    request = review.request
    if request is None:
        return BadReview("the AdmissionReview has no request", api_version=review.api_version)
    creation = request.operation in ("CREATE", "") and not request.sub_resource
    if creation and request.kind.kind not in ("Pod", ""):
        return BadReview(f"expected a Pod, not a {request.kind.kind}", 400, review.api_version, request.uid)
    if creation and request.object is None:
        return BadReview("there is no content to decode", 400, review.api_version, request.uid)
    return PodReview(
        api_version=review.api_version,
        uid=request.uid,
        namespace=request.namespace,
        operation=request.operation,
        dry_run=bool(request.dry_run),
        pod=request.object or {},
        concerns=creation,
    )


def answer(review: PodReview | BadReview, outcome: Mutation | Denial) -> bytes:
    """The AdmissionReview with the response. A denial is an ordinary answer: its code is inside."""
    response: dict[str, Any] = {"uid": review.uid}
    match outcome:
        case Denial(code, message):
            response |= {"allowed": False, "status": {"code": code, "message": message}}
        case Mutation(operations, warnings, audit):
            response |= {"allowed": True, "status": {"code": 200}}
            if operations:
                response["patchType"] = "JSONPatch"
                response["patch"] = base64.b64encode(_ENCODER.encode(operations)).decode("ascii")
            if warnings:
                response["warnings"] = _bounded(warnings)
            if audit:
                response["auditAnnotations"] = audit
    return _ENCODER.encode({"apiVersion": review.api_version, "kind": "AdmissionReview", "response": response})


def _bounded(warnings: tuple[str, ...]) -> list[str]:
    room = MAX_WARNINGS_CHARACTERS
    kept: list[str] = []
    for text in warnings:
        room -= len(text)
        if room < 0:
            break
        kept.append(text)
    return kept
