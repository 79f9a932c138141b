"""`az keyvault`, the rest of it: what happens by itself, issuers and contacts, merging, networks, purge protection."""

import json

import pytest

from tests.shell import Shell
from tests.stock_az import needs_az

pytestmark = [*needs_az]
VAULT = "kv-az-rules"
IN = f"--vault-name {VAULT}"


@pytest.fixture(scope="module")
def az(az: Shell) -> Shell:
    """With a vault that the operator may do everything in."""
    az("az group create -n rules -l westeurope")
    vault = az.json(f"az keyvault create -n {VAULT} -g rules")
    role = "az role assignment create --role 'Key Vault Administrator' --assignee \"$PODPASS_OPERATOR_CLIENT_ID\""
    az(f"{role} --scope {vault['id']}")
    return az


def test_a_key_is_rotated_by_its_policy_as_time_goes_by(az: Shell) -> None:
    az(f"az keyvault key create {IN} -n rotated --kty EC")
    assert az.json(f"az keyvault key rotation-policy show {IN} -n rotated --query 'lifetimeActions[].action'") == [
        "Notify"
    ]
    trigger = '{"trigger": {"timeAfterCreate": "P60D"}, "action": {"type": "Rotate"}}'
    policy = f'{{"lifetimeActions": [{trigger}], "attributes": {{"expiryTime": "P90D"}}}}'
    assert az.json(f"az keyvault key rotation-policy update {IN} -n rotated --value '{policy}'")["expiresIn"] == "P90D"
    az(f"az keyvault key rotate {IN} -n rotated")
    assert az.json(f"az keyvault key list-versions {IN} -n rotated --query 'length(@)'") == 2
    assert "must be at least 28 days" in az.refused(
        f"az keyvault key rotation-policy update {IN} -n rotated --value '{policy.replace('P90D', 'P20D')}'", 1
    )


def test_keys_are_imported_downloaded_backed_up_and_restored(az: Shell) -> None:
    az('openssl genrsa -out "$HOME/own.pem" 2048 2> /dev/null')
    az(f'az keyvault key import {IN} -n mine --pem-file "$HOME/own.pem"')
    az(f'az keyvault key download {IN} -n mine --file "$HOME/mine.pub" --encoding PEM')
    assert az('openssl rsa -in "$HOME/own.pem" -pubout 2> /dev/null') == az('cat "$HOME/mine.pub"')
    az(f'az keyvault key backup {IN} -n mine --file "$HOME/mine.backup"')
    az(f"az keyvault key delete {IN} -n mine; az keyvault key show-deleted {IN} -n mine")
    az(f"az keyvault key recover {IN} -n mine; az keyvault key delete {IN} -n mine; az keyvault key purge {IN} -n mine")
    az(f'az keyvault key restore {IN} --file "$HOME/mine.backup"')
    assert "mine" in az.json(f"az keyvault key list {IN} --query '[].name'")


def test_contacts_and_issuers_of_certificates(az: Shell) -> None:
    assert "(ContactsNotFound)" in az.refused(f"az keyvault certificate contact list {IN}", 1)
    az(f"az keyvault certificate contact add {IN} --email ops@shop.example --name Ops")
    assert "already exists" in az.refused(f"az keyvault certificate contact add {IN} --email ops@shop.example", 1)
    az(f"az keyvault certificate contact delete {IN} --email ops@shop.example")
    issuer = f"{IN} --issuer-name ca"
    made = f"az keyvault certificate issuer create {issuer} --provider-name DigiCert --account-id 7"
    assert "hidden" not in az(f"{made} --password hidden --organization-id org")
    az(f"az keyvault certificate issuer update {issuer} --account-id 8")
    shown = az.json(f"az keyvault certificate issuer show {issuer}")
    assert (shown["provider"], shown["credentials"]["accountId"]) == ("DigiCert", "8")
    az(f"az keyvault certificate issuer admin add {issuer} --email a@shop.example --first-name A")
    assert az.json(f"az keyvault certificate issuer admin list {issuer} --query 'length(@)'") == 1
    az(f"az keyvault certificate issuer admin delete {issuer} --email a@shop.example")
    assert az.json(f"az keyvault certificate issuer list {IN} --query '[].provider'") == ["DigiCert"]
    policy = 'az keyvault certificate get-default-policy | sed s/\\"Self\\"/\\"ca\\"/ > "$HOME/by-ca.json"'
    az(policy)
    create = f'az keyvault certificate create {IN} -n by-ca --policy @"$HOME/by-ca.json"'
    assert "The lab does not emulate the certificate authority behind the issuer ca" in az.refused(create, 1)
    az(f"az keyvault certificate issuer delete {issuer}")


def test_a_certificate_is_requested_signed_elsewhere_and_merged(az: Shell) -> None:
    az('az keyvault certificate get-default-policy | sed s/\\"Self\\"/\\"Unknown\\"/ > "$HOME/unknown.json"')
    az(f'az keyvault certificate create {IN} -n signed --policy @"$HOME/unknown.json"')
    pending = f"az keyvault certificate pending show {IN} -n signed"
    assert az.json(f"{pending} --query status") == "inProgress"
    az(
        f"{{ echo -----BEGIN CERTIFICATE REQUEST-----; {pending} --query csr -o tsv | fold -w 64; "
        'echo -----END CERTIFICATE REQUEST-----; } > "$HOME/request.pem"'
    )
    az('openssl req -x509 -newkey rsa:2048 -nodes -keyout "$HOME/ca.key" -out "$HOME/ca.pem" -subj /CN=ca 2> /dev/null')
    sign = 'openssl x509 -req -in "$HOME/request.pem" -CA "$HOME/ca.pem" -CAkey "$HOME/ca.key" -CAcreateserial'
    az(f'{sign} -days 20 -out "$HOME/signed.pem" 2> /dev/null')
    merged = az.json(f'az keyvault certificate pending merge {IN} -n signed --file "$HOME/signed.pem"')
    assert merged["policy"]["issuerParameters"]["name"] == "Unknown"
    az(f'az keyvault certificate create {IN} -n dropped --policy @"$HOME/unknown.json"')
    az(f"az keyvault certificate pending delete {IN} -n dropped")
    assert "(PendingCertificateNotFound)" in az.refused(f"az keyvault certificate pending show {IN} -n dropped", 3)


def test_certificates_are_imported_changed_backed_up_and_restored(az: Shell) -> None:
    az('openssl req -x509 -newkey rsa:2048 -nodes -keyout "$HOME/i.key" -out "$HOME/i.crt" -subj /CN=i 2> /dev/null')
    az('cat "$HOME/i.key" "$HOME/i.crt" > "$HOME/i.pem"')
    az('openssl pkcs12 -export -inkey "$HOME/i.key" -in "$HOME/i.crt" -out "$HOME/i.pfx" -passout pass:open')
    az(f'az keyvault certificate import {IN} -n pfx --file "$HOME/i.pfx" --password open')
    # Without a policy that says so, a PEM is refused, as everybody learns once.
    pem = f'az keyvault certificate import {IN} -n pem --file "$HOME/i.pem"'
    assert "Please check if certificate is in valid PKCS#12 format" in az.refused(pem, 1)
    secret, issuer = {"contentType": "application/x-pem-file"}, {"name": "Unknown"}
    az(f"{pem} --policy '{json.dumps({'secretProperties': secret, 'issuerParameters': issuer})}'")
    az(f"az keyvault certificate set-attributes {IN} -n pfx --tags a=b")
    assert az.json(f"az keyvault certificate list-versions {IN} -n pfx --query 'length(@)'") == 1
    az(f'az keyvault certificate backup {IN} -n pfx --file "$HOME/pfx.backup"')
    az(f"az keyvault certificate delete {IN} -n pfx")
    assert az.json(f"az keyvault certificate list-deleted {IN} --query '[].name'") == ["pfx"]
    az(f"az keyvault certificate recover {IN} -n pfx; az keyvault certificate delete {IN} -n pfx")
    az(f"az keyvault certificate purge {IN} -n pfx")
    az(f'az keyvault certificate restore {IN} --file "$HOME/pfx.backup"')
    assert az.json(f"az keyvault secret show {IN} -n pfx --query contentType") == "application/x-pkcs12"


def test_network_rules_keep_others_out(az: Shell) -> None:
    rule = f"az keyvault network-rule {{}} -n {VAULT}"
    az(rule.format("add") + " --ip-address 10.1.0.0/16")
    assert az.json(rule.format("list") + " --query 'ipRules[].value'") == ["10.1.0.0/16"]
    az(f"az keyvault update -n {VAULT} --default-action Deny")
    assert "ForbiddenByFirewall" in az.refused(f"az keyvault secret list {IN}", 1)
    az(f"az keyvault update -n {VAULT} --default-action Allow")
    az(rule.format("remove") + " --ip-address 10.1.0.0/16")
    az(f"az keyvault secret list {IN}")


def test_what_protects_from_purging_can_not_be_undone(az: Shell) -> None:
    az("az keyvault create -n kv-az-protected -g rules --retention-days 7 --enable-purge-protection true")
    update = "az keyvault update -n kv-az-protected"
    assert "irreversible action" in az.refused(f"{update} --enable-purge-protection false", 1)
    assert "can't be modified" in az.refused(f"{update} --retention-days 10", 1)
    az("az keyvault delete -n kv-az-protected")
    shown = az.json("az keyvault show-deleted -n kv-az-protected --query properties")
    assert shown["purgeProtectionEnabled"] is True
    purge = az.refused("az keyvault purge -n kv-az-protected", 1)
    assert "(MethodNotAllowed) Operation 'DeletedVaultPurge' is not allowed." in purge
    az("az keyvault recover -n kv-az-protected -g rules -l westeurope")
