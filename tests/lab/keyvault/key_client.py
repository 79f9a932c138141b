"""Run as a program: uses the stock KeyClient and CryptographyClient, and prints what it saw as JSON.

Reads the access token from the file PODPASS_TEST_TOKEN. Nothing of the clients is replaced.
"""

import asyncio
import hashlib
import json
import sys
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.keyvault.keys import ApiVersion, JsonWebKey, KeyClient, KeyOperation
from azure.keyvault.keys.aio import KeyClient as AsyncKeyClient
from azure.keyvault.keys.crypto import (
    CryptographyClient,
    EncryptionAlgorithm,
    KeyWrapAlgorithm,
    SignatureAlgorithm,
)
from azure.keyvault.keys.crypto.aio import CryptographyClient as AsyncCryptographyClient
from cryptography.hazmat.primitives.asymmetric import ec
from secret_client import AsyncCredential, Credential, seen

DIGEST = hashlib.sha256(b"a message").digest()


def run_sync(url: str) -> None:
    with KeyClient(url, Credential(), api_version=ApiVersion.V7_4) as client:
        made = client.create_rsa_key("signer", size=2048, tags={"a": "b"})
        assert made.id is not None
        seen["made"] = [made.key_type, sorted(made.key_operations), made.properties.recovery_level]
        # By its id the client asks the vault; with the key in hand it works by itself.
        remote = CryptographyClient(made.id, Credential())
        local = CryptographyClient.from_jwk(made.key)
        signed = remote.sign(SignatureAlgorithm.rs256, DIGEST)
        seen["verified here"] = local.verify(SignatureAlgorithm.rs256, DIGEST, signed.signature).is_valid
        pss = remote.sign(SignatureAlgorithm.ps512, hashlib.sha512(b"a message").digest())
        seen["pss verified here"] = local.verify(
            SignatureAlgorithm.ps512, hashlib.sha512(b"a message").digest(), pss.signature
        ).is_valid
        for algorithm in EncryptionAlgorithm.rsa_oaep, EncryptionAlgorithm.rsa_oaep_256, EncryptionAlgorithm.rsa1_5:
            sealed = local.encrypt(algorithm, b"hidden")
            seen[f"{algorithm.value} opened"] = remote.decrypt(algorithm, sealed.ciphertext).plaintext.decode()
        wrapped = local.wrap_key(KeyWrapAlgorithm.rsa_oaep, b"0123456789abcdef")
        seen["unwrapped"] = remote.unwrap_key(KeyWrapAlgorithm.rsa_oaep, wrapped.encrypted_key).key.decode()

        curve = client.create_ec_key("curve", curve="P-521", key_operations=[KeyOperation.sign])
        assert curve.id is not None
        elliptic = CryptographyClient(curve.id, Credential())
        digest = hashlib.sha512(b"a message").digest()
        raw = elliptic.sign(SignatureAlgorithm.es512, digest).signature
        assert curve.key is not None
        public = ec.EllipticCurvePublicNumbers(
            int.from_bytes(curve.key.x), int.from_bytes(curve.key.y), ec.SECP521R1()
        ).public_key()
        seen["curve"] = [len(raw), public.curve.name]
        seen["curve verified here"] = _verified(public, raw, digest)

        own = ec.generate_private_key(ec.SECP256R1()).private_numbers()
        jwk = JsonWebKey(
            kty="EC",
            crv="P-256",
            x=own.public_numbers.x.to_bytes(32),
            y=own.public_numbers.y.to_bytes(32),
            d=own.private_value.to_bytes(32),
            key_ops=["sign", "verify"],
        )
        imported = client.import_key("mine", jwk)
        assert imported.key is not None
        seen["imported"] = [imported.key.x == jwk.x, imported.key.d is None]

        newest = client.get_cryptography_client("signer")
        seen["newest opened"] = newest.decrypt(
            EncryptionAlgorithm.rsa_oaep, local.encrypt(EncryptionAlgorithm.rsa_oaep, b"hidden").ciphertext
        ).plaintext.decode()
        seen["newest unwrapped"] = newest.unwrap_key(KeyWrapAlgorithm.rsa_oaep, wrapped.encrypted_key).key.decode()
        marked = client.update_key_properties("signer", made.properties.version, tags={"c": "d"})
        seen["a version marked"] = marked.properties.tags

        rotated = client.rotate_key("signer")
        seen["rotated"] = [rotated.properties.version != made.properties.version, rotated.key.n != made.key.n]
        seen["versions"] = len(list(client.list_properties_of_key_versions("signer")))
        seen["listed"] = sorted(one.name for one in client.list_properties_of_keys())
        changed = client.update_key_properties("signer", enabled=False)
        seen["disabled"] = changed.properties.enabled
        assert rotated.id is not None
        try:
            CryptographyClient(rotated.id, Credential()).sign(SignatureAlgorithm.rs256, DIGEST)
        except HttpResponseError as error:
            seen["disabled says"] = error.error.innererror["code"] if error.error and error.error.innererror else ""
        backup = client.backup_key("mine")
        client.begin_delete_key("mine").wait()
        try:
            client.create_ec_key("mine")
        except ResourceExistsError as error:
            seen["reused"] = error.error.innererror["code"] if error.error and error.error.innererror else ""
        client.begin_recover_deleted_key("mine").wait()
        client.begin_delete_key("mine").wait()
        seen["deleted"] = [one.name for one in client.list_deleted_keys()]
        client.purge_deleted_key("mine")
        seen["restored"] = client.restore_key_backup(backup).name


def _verified(public: ec.EllipticCurvePublicKey, raw: bytes, digest: bytes) -> bool:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

    half = len(raw) // 2
    pair = encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))
    public.verify(pair, digest, ec.ECDSA(Prehashed(hashes.SHA512())))
    return True


async def run_async(url: str) -> None:
    async with AsyncKeyClient(url, AsyncCredential()) as client:
        made: Any = await client.create_ec_key("signer")
        async with AsyncCryptographyClient(made.id, AsyncCredential()) as remote:
            signed = await remote.sign(SignatureAlgorithm.es256, DIGEST)
            seen["verified"] = (await remote.verify(SignatureAlgorithm.es256, DIGEST, signed.signature)).is_valid
        await client.delete_key("signer")
        seen["deleted"] = (await client.get_deleted_key("signer")).name


if __name__ == "__main__":
    mode, vault_url = sys.argv[1:]
    run_sync(vault_url) if mode == "sync" else asyncio.run(run_async(vault_url))
    print(json.dumps(seen))
