"""Secrets that hold a service account's token for ever: filled when they are made, gone with their account.

Contract: Kubernetes API surface, section 7.5.
"""

import base64
import contextlib
from collections.abc import Iterator

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import SECRETS, SERVICEACCOUNTS
from podpass.lab.cluster.collection import Change, Stored
from podpass.lab.cluster.controllers.loop import Task
from podpass.lab.cluster.controllers.writes import Gone, controller_user, delete, update
from podpass.lab.cluster.deletion import DeleteOptions
from podpass.lab.cluster.kinds.configuration import SERVICE_ACCOUNT_NAME, SERVICE_ACCOUNT_TOKEN
from podpass.lab.cluster.serviceaccounts.tokens import ServiceAccountTokens
from podpass.lab.cluster.verbs import Verbs

SERVICE_ACCOUNT_UID = "kubernetes.io/service-account.uid"
_TYPE = SERVICE_ACCOUNT_TOKEN.encode()


class TokenSecrets:
    """Fills each Secret of type kubernetes.io/service-account-token."""

    name = "token-secrets"

    def __init__(self, verbs: Verbs, tokens: ServiceAccountTokens, ca_pem: bytes) -> None:
        self._verbs = verbs
        self._tokens = tokens
        self._certificate = base64.b64encode(ca_pem).decode()
        self._user = controller_user("tokens-controller")

    def concerns(self, change: Change) -> Iterator[Task]:
        place = (change.resource.group, change.resource.plural)
        if place == ("", "secrets") and change.type != "DELETED":
            if _TYPE in change.stored.body:
                yield change.stored.key
        elif place == ("", "serviceaccounts") and change.type != "MODIFIED":
            yield from self._of_namespace(change.stored.key[0])

    def everything(self) -> Iterator[Task]:
        yield from self._of_namespace("")

    def _of_namespace(self, namespace: str) -> Iterator[Task]:
        collection = self._verbs.storage.collection(SECRETS)
        for key in collection.keys_in(namespace):
            if _TYPE in collection.objects[key].body:
                yield key

    async def reconcile(self, task: Task) -> None:
        namespace, name = task
        kind = self._verbs.registry.of(SECRETS)
        stored = self._verbs.storage.get(SECRETS, namespace, name)
        if stored is None:
            return
        secret = self._verbs.present(kind, stored)
        if secret.get("type") != SERVICE_ACCOUNT_TOKEN or objects.being_deleted(secret):
            return
        account = self._account(secret)
        with contextlib.suppress(Gone):
            if account is None:
                await self._remove(stored)
            elif (filled := self._filled(secret, account)) != secret:
                await update(self._verbs, kind, filled, self._user)

    def _account(self, secret: Obj) -> Obj | None:
        """The account that the Secret names, unless it is another one by now."""
        annotations = objects.annotations(secret)
        name = annotations.get(SERVICE_ACCOUNT_NAME, "")
        account = self._verbs.find(SERVICEACCOUNTS, name, objects.namespace(secret))
        if account is None or annotations.get(SERVICE_ACCOUNT_UID, objects.uid(account)) != objects.uid(account):
            return None
        return account

    def _filled(self, secret: Obj, account: Obj) -> Obj:
        data = dict(secret.get("data") or {})
        if not data.get("token"):
            token = self._tokens.lasting(account, objects.name(secret))
            data["token"] = base64.b64encode(token.encode()).decode()
        data["ca.crt"] = self._certificate
        data["namespace"] = base64.b64encode(objects.namespace(secret).encode()).decode()
        annotations = {**objects.annotations(secret), SERVICE_ACCOUNT_UID: objects.uid(account)}
        return {**secret, "data": data, "metadata": {**secret["metadata"], "annotations": annotations}}

    async def _remove(self, stored: Stored) -> None:
        kind = self._verbs.registry.of(SECRETS)
        await delete(self._verbs, kind, stored, DeleteOptions(uid=stored.uid), self._user)
