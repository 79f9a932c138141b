"""What a cluster's kubeconfig proves its user with, as AKS gives it: a client certificate and a token.

The same each time, so that `az aks get-credentials` finds its own former entry unchanged.
"""

import time
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from podpass.azure.resourceids import ResourceId
from podpass.lab.arm.hosting import HostedCluster
from podpass.lab.certificates import CertificateAuthority
from podpass.lab.cluster.access.authorization import MASTERS
from podpass.lab.kubeconfigs import encoded, kubeconfig
from podpass.lab.private_files import replace_file

LIFETIME = timedelta(days=730)
RENEW_BEFORE = timedelta(days=30)
USER = "masterclient"
_FILE = "administrator.pem"
_KEY_BEGINS = b"-----BEGIN PRIVATE KEY-----"


def kubeconfig_of(
    cluster: HostedCluster, *, admin: bool, server: str, ca: CertificateAuthority, keys: Path, token: str
) -> str:
    """The file for *cluster*, whose private keys lie in *keys*.

    Without Microsoft Entra integration AKS gives users and administrators the same rights, under different names.
    """
    certificate, key = _administrator(keys / _FILE, ca)
    user = f"cluster{'Admin' if admin else 'User'}_{ResourceId.parse(cluster.resource_id).group}_{cluster.name}"
    credential = {
        "client-certificate-data": encoded(certificate),
        "client-key-data": encoded(key),
        "token": token,
    }
    return kubeconfig(cluster=cluster.name, user=user, server=server, ca_pem=ca.pem, credential=credential)


def _administrator(path: Path, ca: CertificateAuthority) -> tuple[bytes, bytes]:
    """Certificate and key, PEM; made when there is none that is good for a while."""
    if path.exists():
        certificate, begin, key = path.read_bytes().partition(_KEY_BEGINS)
        ends = x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp()
        if ends > time.time() + RENEW_BEFORE.total_seconds():
            return certificate, begin + key
    made = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, MASTERS), x509.NameAttribute(NameOID.COMMON_NAME, USER)]
    )
    certificate = ca.sign_client(subject, made.public_key(), LIFETIME)
    key = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    replace_file(path, certificate + key)
    return certificate, key
