"""A kubeconfig for a person: a client certificate that names them and their groups, as a cluster's people have it.

Contract: Kubernetes API surface, section 6.
"""

import base64
from collections.abc import Sequence
from datetime import timedelta

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from podpass.lab.certificates import CertificateAuthority

LIFETIME = timedelta(days=365)
LONGEST_NAME = 64
"""Characters of a user's or a group's name: what X.509 allows."""


def user_kubeconfig(admins: str, ca: CertificateAuthority, user: str, groups: Sequence[str]) -> str:
    """The kubeconfig *admins*, with *user* in the administrator's place.

    Raises ValueError for a name that no certificate can hold.
    """
    for what, name in (("user", user), *(("group", group) for group in groups)):
        if not 0 < len(name) <= LONGEST_NAME:
            raise ValueError(f"the name of a {what} has 1 to {LONGEST_NAME} characters; {name!r} has {len(name)}")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups),
            x509.NameAttribute(NameOID.COMMON_NAME, user),
        ]
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    config = yaml.safe_load(admins)
    (cluster,) = config["clusters"]
    context = f"{user}@{cluster['name']}"
    config["users"] = [
        {
            "name": user,
            "user": {
                "client-certificate-data": _base64(ca.sign_client(subject, key.public_key(), LIFETIME)),
                "client-key-data": _base64(pem),
            },
        }
    ]
    config["contexts"] = [{"name": context, "context": {"cluster": cluster["name"], "user": user}}]
    config["current-context"] = context
    return yaml.safe_dump(config, sort_keys=False)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
