"""Tenants, applications, federated credentials, and the signing key's file."""

from pathlib import Path

import pytest

from podpass.lab.clock import LabClock
from podpass.lab.entra.directory import Application, Directory, Tenant
from podpass.lab.store import Store
from podpass.tokens.federation import FederatedCredential

TENANT = Tenant("11111111-2222-4333-8444-555555555555", ("lab.example",), "Lab")
APP = Application(TENANT.tenant_id, "Client-1", "Object-1", "orders", "managed-identity", "/subscriptions/S", True)


def credential(name: str, subject: str = "s") -> FederatedCredential:
    return FederatedCredential(name, "https://i/", subject, ("a",))


@pytest.fixture
def directory() -> Directory:
    directory = Directory(Store.open(None), LabClock(source=lambda: 1000.0))
    directory.put_tenant(TENANT)
    directory.put_application(APP)
    return directory


def test_a_tenant_is_found_by_guid_and_domain_in_any_letter_case(directory: Directory) -> None:
    for name in (TENANT.tenant_id.upper(), "Lab.Example"):
        assert directory.tenant(name) == TENANT
    assert directory.tenant("other.example") is None
    assert directory.tenants() == (TENANT,)


def test_a_domain_that_moved_away_no_longer_names_the_tenant(directory: Directory) -> None:
    directory.put_tenant(Tenant(TENANT.tenant_id, ("new.example",), "Lab"))
    assert directory.tenant("lab.example") is None
    assert directory.tenant("new.example") is not None


def test_an_application_is_found_by_each_of_its_ids(directory: Directory) -> None:
    assert directory.application(TENANT.tenant_id, "CLIENT-1") == APP
    assert directory.application_by_object_id(TENANT.tenant_id, "object-1") == APP
    assert directory.application("other", "client-1") is None
    assert directory.applications(TENANT.tenant_id) == (APP,)
    assert directory.applications(TENANT.tenant_id[:-1]) == ()


def test_an_application_is_found_by_its_identifier_uri(directory: Directory) -> None:
    api = Application(TENANT.tenant_id, "api", "o2", "api", identifier_uris=("api://orders",))
    directory.put_application(api)
    assert directory.application_for_resource(TENANT.tenant_id, "api://orders") == api
    assert directory.application_for_resource(TENANT.tenant_id, "api") == api
    directory.put_application(Application(TENANT.tenant_id, "api", "o2", "api"))
    assert directory.application_for_resource(TENANT.tenant_id, "api://orders") is None


def test_credentials_keep_their_order_and_are_replaced_by_name(directory: Directory) -> None:
    where = (TENANT.tenant_id, "client-1")
    for name in ("b", "a"):
        directory.put_credential(*where, credential(name))
    directory.put_credential(*where, credential("B", "other"))
    assert directory.credentials(*where) == (credential("B", "other"), credential("a"))
    assert directory.delete_credential(*where, "A")
    assert not directory.delete_credential(*where, "a")
    assert directory.credentials(*where) == (credential("B", "other"),)


def test_a_credential_needs_its_application(directory: Directory) -> None:
    with pytest.raises(KeyError):
        directory.put_credential(TENANT.tenant_id, "nobody", credential("a"))


def test_deleting_an_application_deletes_its_names_and_credentials(directory: Directory) -> None:
    directory.put_credential(TENANT.tenant_id, "client-1", credential("a"))
    assert directory.delete_application(TENANT.tenant_id, "CLIENT-1")
    assert not directory.delete_application(TENANT.tenant_id, "client-1")
    assert directory.application_by_object_id(TENANT.tenant_id, "object-1") is None
    directory.put_application(APP)
    assert directory.credentials(TENANT.tenant_id, "client-1") == ()


def test_the_past_is_remembered_for_an_hour() -> None:
    clock = LabClock(source=lambda: 0.0)
    directory = Directory(Store.open(None), clock)
    directory.put_application(APP)
    where = (APP.tenant_id, APP.client_id)
    names = []
    for name in ("a", "b", "c"):
        clock.advance(10)
        directory.put_credential(*where, credential(name))
        names.append(name)
    for moment, count in ((5, 0), (10, 1), (19, 1), (20, 2), (30, 3), (99, 3)):
        assert [kept.name for kept in directory.credentials_as_of(*where, moment)] == names[:count]


def test_a_write_that_is_rolled_back_was_never_there(directory: Directory) -> None:
    store = directory._store
    with pytest.raises(RuntimeError), store.transaction():
        directory.put_credential(TENANT.tenant_id, "client-1", credential("a"))
        raise RuntimeError
    assert directory.credentials(TENANT.tenant_id, "client-1") == ()


def test_the_directory_survives_a_restart(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "state.db")
    directory = Directory(store)
    directory.put_tenant(TENANT)
    directory.put_application(APP)
    directory.put_credential(TENANT.tenant_id, "client-1", credential("a"))
    store.close()
    again = Directory(Store.open(tmp_path / "state.db"))
    assert again.tenant("lab.example") == TENANT
    assert again.application(TENANT.tenant_id, "client-1") == APP
    assert again.credentials(TENANT.tenant_id, "client-1") == (credential("a"),)
