"""Managed identities and their federated credentials with azure-mgmt-msi: made, read, changed and deleted."""

import asyncio
import os
import sys

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import WorkloadIdentityCredential
from azure.identity.aio import WorkloadIdentityCredential as AioWorkloadIdentityCredential
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.msi.aio import ManagedServiceIdentityClient as AioManagedServiceIdentityClient
from azure.mgmt.msi.models import FederatedIdentityCredential, Identity

SUBSCRIPTION, GROUP = os.environ["PODPASS_SUBSCRIPTION_ID"], sys.argv[1]
AUDIENCE, ISSUER = "api://AzureADTokenExchange", "https://issuer.example.test/"


def credential(subject: str) -> FederatedIdentityCredential:
    return FederatedIdentityCredential(issuer=ISSUER, subject=subject, audiences=[AUDIENCE])


def round_trip() -> None:
    with ManagedServiceIdentityClient(WorkloadIdentityCredential(), SUBSCRIPTION) as client:
        identities, credentials = client.user_assigned_identities, client.federated_identity_credentials
        made = identities.create_or_update(GROUP, "orders", Identity(location="eastus", tags={"a": "b"}))
        assert made.principal_id
        assert made.tenant_id == os.environ["AZURE_TENANT_ID"]
        assert identities.get(GROUP, "orders").client_id == made.client_id
        changed = identities.update(GROUP, "orders", Identity(location="eastus", tags={"c": "d"}))  # type: ignore[arg-type]
        assert (changed.tags, changed.client_id) == ({"c": "d"}, made.client_id)
        assert [one.name for one in identities.list_by_resource_group(GROUP)] == ["orders"]
        assert "orders" in [one.name for one in identities.list_by_subscription()]
        for number in range(20):
            credentials.create_or_update(GROUP, "orders", f"kube-{number:02}", credential(f"s{number}"))
        page = next(credentials.list(GROUP, "orders", top=8).by_page())
        listed = [one.name for one in credentials.list(GROUP, "orders", top=8)]
        print("pages:", len(list(page)), "of", len(listed), len(set(listed)))
        for name, subject in (("kube-20", "s20"), ("kube-00", "s1")):
            try:
                credentials.create_or_update(GROUP, "orders", name, credential(subject))
            except HttpResponseError as error:
                print("refused:", error.status_code, error.error.code if error.error else "", name)
        changed_one = credentials.create_or_update(GROUP, "orders", "kube-00", credential("other"))
        assert credentials.get(GROUP, "orders", "kube-00").subject == changed_one.subject == "other"
        credentials.delete(GROUP, "orders", "kube-00")
        credentials.delete(GROUP, "orders", "kube-00")
        try:
            credentials.get(GROUP, "orders", "kube-00")
        except ResourceNotFoundError as error:
            print("gone:", error.status_code)
        identities.delete(GROUP, "orders")
        print("left:", [one.name for one in identities.list_by_resource_group(GROUP)])


async def aio_round_trip() -> None:
    async with AioWorkloadIdentityCredential() as token, AioManagedServiceIdentityClient(token, SUBSCRIPTION) as client:
        identities, credentials = client.user_assigned_identities, client.federated_identity_credentials
        made = await identities.create_or_update(GROUP, "reports", Identity(location="eastus"))
        await credentials.create_or_update(GROUP, "reports", "kube", credential("s"))
        assert [one.subject async for one in credentials.list(GROUP, "reports")] == ["s"]
        await credentials.create_or_update(GROUP, "reports", "kube", credential("t"))
        assert (await credentials.get(GROUP, "reports", "kube")).subject == "t"
        await credentials.delete(GROUP, "reports", "kube")
        await identities.delete(GROUP, "reports")
        print("aio:", bool(made.principal_id), [one.name async for one in identities.list_by_resource_group(GROUP)])


round_trip()
asyncio.run(aio_round_trip())
