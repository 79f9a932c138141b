"""Mutating and validating webhook configurations.

Contract: Kubernetes API surface, section 3.2.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

from podpass.kube import resources, selectors
from podpass.kube.objects import Obj
from podpass.kube.resources import Resource
from podpass.kube.status import Cause, duplicate, invalid, not_supported, required
from podpass.lab.cluster.admission.conditions import condition_causes
from podpass.lab.cluster.kinds import rules
from podpass.lab.cluster.registry import Column, Kind
from podpass.lab.cluster.tables import AGE, NAME

DEFAULT_TIMEOUT_SECONDS = 10
REVIEW_VERSIONS = ("v1",)
"""The AdmissionReview versions that the cluster sends."""

_OPERATIONS = ("*", "CREATE", "UPDATE", "DELETE", "CONNECT")
_SCOPES = ("*", "Cluster", "Namespaced")


def _default(resource: Resource, obj: Obj) -> None:
    for webhook in obj.get("webhooks") or ():
        webhook["failurePolicy"] = webhook.get("failurePolicy") or "Fail"
        webhook["matchPolicy"] = webhook.get("matchPolicy") or "Equivalent"
        webhook.setdefault("timeoutSeconds", DEFAULT_TIMEOUT_SECONDS)
        webhook.setdefault("namespaceSelector", {})
        webhook.setdefault("objectSelector", {})
        if resource is resources.MUTATINGWEBHOOKCONFIGURATIONS:
            webhook["reinvocationPolicy"] = webhook.get("reinvocationPolicy") or "Never"
        service = (webhook.get("clientConfig") or {}).get("service")
        if service is not None:
            service.setdefault("port", 443)
        for rule in webhook.get("rules") or ():
            rule["scope"] = rule.get("scope") or "*"


def _causes(obj: Obj) -> Iterator[Cause]:
    names: set[str] = set()
    for index, webhook in enumerate(obj.get("webhooks") or ()):
        path = f"webhooks[{index}]"
        name = webhook.get("name") or ""
        yield from _name(f"{path}.name", name)
        if name in names:
            yield duplicate(f"{path}.name", name)
        names.add(name)
        yield from _webhook(webhook, path)


def _name(path: str, name: str) -> Iterator[Cause]:
    if not name:
        yield required(path)
        return
    yield from rules.subdomain(path, name)
    if name.count(".") < 2:
        yield invalid(path, name, "should be a domain with at least three segments separated by dots")


def _webhook(webhook: Obj, path: str) -> Iterator[Cause]:
    versions = webhook.get("admissionReviewVersions") or []
    if not versions:
        yield required(f"{path}.admissionReviewVersions", "must specify one of v1, v1beta1")
    elif not set(versions) & set(REVIEW_VERSIONS):
        yield invalid(f"{path}.admissionReviewVersions", str(versions), "must include at least one of v1, v1beta1")
    yield from rules.one_of(f"{path}.failurePolicy", webhook.get("failurePolicy"), ("Fail", "Ignore"))
    yield from rules.one_of(f"{path}.matchPolicy", webhook.get("matchPolicy"), ("Equivalent", "Exact"))
    yield from rules.one_of(f"{path}.reinvocationPolicy", webhook.get("reinvocationPolicy"), ("IfNeeded", "Never"))
    if not webhook.get("sideEffects"):
        yield required(f"{path}.sideEffects", "must specify one of None, NoneOnDryRun")
    else:
        yield from rules.one_of(f"{path}.sideEffects", webhook["sideEffects"], ("None", "NoneOnDryRun"))
    seconds = webhook.get("timeoutSeconds")
    if isinstance(seconds, int) and not 1 <= seconds <= 30:
        yield invalid(f"{path}.timeoutSeconds", seconds, "the timeout value must be between 1 and 30 seconds")
    for member in ("namespaceSelector", "objectSelector"):
        yield from selector_causes(webhook.get(member), f"{path}.{member}")
    for index, rule in enumerate(webhook.get("rules") or ()):
        yield from rule_causes(rule, f"{path}.rules[{index}]")
    yield from _client(webhook.get("clientConfig") or {}, f"{path}.clientConfig")
    if webhook.get("matchConditions"):
        yield from condition_causes(webhook["matchConditions"], f"{path}.matchConditions")


def selector_causes(selector: Any, path: str) -> Iterator[Cause]:
    try:
        selectors.from_object(selector)
    except selectors.SelectorSyntax as error:
        yield invalid(path, "", str(error))


def rule_causes(rule: Obj, path: str) -> Iterator[Cause]:
    operations = rule.get("operations") or []
    if not operations:
        yield required(f"{path}.operations")
    for index, operation in enumerate(operations):
        if operation not in _OPERATIONS:
            yield not_supported(f"{path}.operations[{index}]", operation, sorted(_OPERATIONS))
    yield from _alone(f"{path}.operations", operations)
    for member in ("apiGroups", "apiVersions", "resources"):
        if not rule.get(member):
            yield required(f"{path}.{member}")
    for member in ("apiGroups", "apiVersions"):
        yield from _alone(f"{path}.{member}", rule.get(member) or [])
    for member in ("apiVersions", "resources"):
        for index, value in enumerate(rule.get(member) or ()):
            if not value:
                yield required(f"{path}.{member}[{index}]")
    yield from rules.one_of(f"{path}.scope", rule.get("scope"), _SCOPES)


def _alone(path: str, values: list[str]) -> Iterator[Cause]:
    if "*" in values and len(values) > 1:
        yield invalid(path, "[" + " ".join(values) + "]", "if '*' is present, must not specify other values")


def _client(client: Obj, path: str) -> Iterator[Cause]:
    service, url = client.get("service"), client.get("url")
    if (service is None) == (url is None):
        yield required(path, "exactly one of url or service is required")
    if url is not None:
        yield from _url(f"{path}.url", url)
    if service is not None:
        for member in ("name", "namespace"):
            if not service.get(member):
                yield required(f"{path}.service.{member}")
        if service.get("port") is not None:
            yield from rules.port(f"{path}.service.port", service["port"])
        if service.get("path") and not service["path"].startswith("/"):
            yield invalid(f"{path}.service.path", service["path"], "must start with a '/'")
    if client.get("caBundle"):
        yield from _bundle(f"{path}.caBundle", client["caBundle"])


def _url(path: str, url: str) -> Iterator[Cause]:
    form = "desired format: https://host[/path]"
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        yield required(path, f"url must be a valid URL: {error}; {form}")
        return
    if parts.scheme != "https":
        yield invalid(path, parts.scheme, f"'https' is the only allowed URL scheme; {form}")
    if not host:
        yield invalid(path, parts.netloc, f"host must be specified; {form}")
    if parts.username is not None:
        yield invalid(path, "", f"user information is not permitted in the URL; {form}")
    if parts.fragment:
        yield invalid(path, parts.fragment, f"fragments are not permitted in the URL; {form}")
    if parts.query:
        yield invalid(path, parts.query, f"query parameters are not permitted in the URL; {form}")


def _bundle(path: str, bundle: str) -> Iterator[Cause]:
    try:
        x509.load_pem_x509_certificates(base64.b64decode(bundle))
    except (ValueError, binascii.Error):
        yield invalid(path, "<bytes>", "unable to load root certificates: unable to parse bytes as PEM block")


def _kind(resource: Resource) -> Kind:
    return Kind(
        resource=resource,
        has_generation=True,
        default=lambda obj: _default(resource, obj),
        validate_create=lambda obj: list(_causes(obj)),
        validate_update=lambda new, _: list(_causes(new)),
        columns=(
            NAME,
            Column(
                "Webhooks",
                lambda obj, _: len(obj.get("webhooks") or ()),
                type="integer",
                description="How many webhooks the configuration lists.",
            ),
            AGE,
        ),
    )


def webhook_kinds() -> tuple[Kind, Kind]:
    return _kind(resources.MUTATINGWEBHOOKCONFIGURATIONS), _kind(resources.VALIDATINGWEBHOOKCONFIGURATIONS)
