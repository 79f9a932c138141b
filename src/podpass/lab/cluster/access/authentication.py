"""Who asks: a client certificate's subject, a token's owner, nobody, or somebody else's name.

Contract: Kubernetes API surface, sections 4.3 and 6.
"""

import hashlib
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Protocol
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from podpass.kube.resources import Resource
from podpass.kube.status import StatusError
from podpass.lab.cluster.extension import (
    ANONYMOUS,
    Allowed,
    Attributes,
    Authorizer,
    Denied,
    User,
)
from podpass.lab.cluster.serviceaccounts.belief import Believed, Disbelieved
from podpass.lab.cluster.serviceaccounts.claims import PREFIX, account_groups
from podpass.serving.asgi import Request

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
_AUTHENTICATION = "authentication.k8s.io"
_EXTRA_HEADER = "impersonate-extra-"


_CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
_KEPT_CERTIFICATES = 256


@lru_cache(_KEPT_CERTIFICATES)
def certified_user(certificate: str) -> User | None:
    """The user that a verified client certificate (PEM) names: its common name, in its organisations.

    None for a subject without a common name.
    """
    found = x509.load_pem_x509_certificate(certificate.encode())
    names = [str(attribute.value) for attribute in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if not names or not names[-1]:
        return None
    groups = [str(attribute.value) for attribute in found.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    digest = found.fingerprint(hashes.SHA256()).hex()
    return User(
        names[-1],
        groups=tuple(dict.fromkeys((*groups, AUTHENTICATED))),
        extra={_CREDENTIAL_ID: (f"X509SHA256={digest}",)},
    )


class TokenAuthenticator(Protocol):
    api_audiences: tuple[str, ...]

    def authenticate(self, token: str) -> User | None: ...

    def check(self, token: str, *, audiences: Collection[str] = ()) -> Believed | Disbelieved: ...


class Authenticator:
    """Finds the user of a request by its client certificate, its Authorization and its Impersonate headers."""

    def __init__(self, static: Mapping[str, User], tokens: TokenAuthenticator, authorizer: Authorizer) -> None:
        # Looked up by digest: the time a look-up takes then says nothing about the token.
        self._static = {_digest(token): user for token, user in static.items()}
        self._tokens = tokens
        self._authorizer = authorizer

    def add(self, token: str, user: User) -> None:
        """Know another static token."""
        self._static[_digest(token)] = user

    def authenticate(self, request: Request) -> User | None:
        """Who asks; None for credentials that are wrong. Raises StatusError 403 for a name one may not use."""
        user = self._certified(request) or self._user(request.headers.get("authorization"))
        return None if user is None else self._impersonated(user, request.headers)

    def check(self, token: str, *, audiences: Collection[str] = ()) -> Believed | Disbelieved:
        """Whether the cluster believes *token*, a static one included: those are meant for its own audiences."""
        static = self._static.get(_digest(token))
        wanted = tuple(audiences) or self._tokens.api_audiences
        meant = tuple(audience for audience in wanted if audience in self._tokens.api_audiences)
        if static is not None and meant:
            return Believed(static, meant)
        return self._tokens.check(token, audiences=audiences)

    def _certified(self, request: Request) -> User | None:
        return certified_user(request.client_certificate) if request.client_certificate else None

    def _user(self, header: str | None) -> User | None:
        if not header:
            return ANONYMOUS
        scheme, _, credentials = header.partition(" ")
        token = credentials.strip()
        if scheme.lower() != "bearer" or not token:
            # The API server knows no other scheme and takes the request for one without credentials.
            return ANONYMOUS
        if (static := self._static.get(_digest(token))) is not None:
            return static
        return self._tokens.authenticate(token)

    def _impersonated(self, user: User, headers: Mapping[str, str]) -> User:
        name = headers.get("impersonate-user", "")
        groups = _listed(headers.get("impersonate-group", ""))
        uid = headers.get("impersonate-uid", "")
        extra = {
            unquote(header.removeprefix(_EXTRA_HEADER)): _listed(value)
            for header, value in headers.items()
            if header.startswith(_EXTRA_HEADER)
        }
        if not name:
            if groups or uid or extra:
                raise StatusError.bad_request(
                    f"requested {_go_user(uid, groups, extra)} without impersonating a user name"
                )
            return user
        account = _account(name)
        if account is None:
            self._allow(user, "", "users", name)
        else:
            self._allow(user, "", "serviceaccounts", account[1], namespace=account[0])
        for group in groups:
            self._allow(user, "", "groups", group)
        if uid:
            self._allow(user, _AUTHENTICATION, "uids", uid)
        for key, values in extra.items():
            for value in values:
                self._allow(user, _AUTHENTICATION, "userextras", value, subresource=key)
        if account is not None and not groups:
            groups = account_groups(account[0])
        if name == ANONYMOUS.name:
            groups = groups if UNAUTHENTICATED in groups else (*groups, UNAUTHENTICATED)
        elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
            groups = (*groups, AUTHENTICATED)
        return User(name, uid, groups, extra)

    def _allow(
        self, user: User, group: str, resource: str, name: str, *, namespace: str = "", subresource: str = ""
    ) -> None:
        asked = Attributes(
            verb="impersonate",
            group=group,
            version="v1",
            resource=resource,
            subresource=subresource,
            namespace=namespace,
            name=name,
        )
        match self._authorizer.authorize(user, asked):
            case Allowed():
                return
            case Denied(reason):
                shown = Resource(group, "v1", resource, resource, bool(namespace))
                raise StatusError.forbidden(shown, name, reason, subresource=subresource)


def _go_user(uid: str, groups: tuple[str, ...], extra: Mapping[str, tuple[str, ...]]) -> str:
    """The user as Go prints it, which is how the API server says what was asked for."""
    listed = ", ".join(f'"{group}"' for group in groups)
    extras = ", ".join(
        f'"{key}":[]string{{{", ".join(f"{chr(34)}{value}{chr(34)}" for value in values)}}}'
        for key, values in sorted(extra.items())
    )
    return (
        f'&user.DefaultInfo{{Name:"", UID:"{uid}", Groups:[]string{f"{{{listed}}}" if groups else "(nil)"},'
        f" Extra:map[string][]string{f'{{{extras}}}' if extra else '(nil)'}}}"
    )


def _account(name: str) -> tuple[str, str] | None:
    """Namespace and name of the service account that a user name stands for."""
    if not name.startswith(PREFIX):
        return None
    namespace, _, account = name.removeprefix(PREFIX).partition(":")
    return (namespace, account) if namespace and account else None


def _listed(header: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in header.split(",") if part.strip())


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
