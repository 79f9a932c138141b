"""The calls on what a vault keeps: what each is called, and what it takes to make it.

Contract: secrets store, sections 3.3 to 3.5 and 4.1.
"""

from enum import Enum


class ObjectType(Enum):
    """What a vault keeps: its name in paths and permissions, its name in sentences, and its tables."""

    SECRET = ("secrets", "secret", ("keyvault_secrets", "keyvault_versions"))
    KEY = ("keys", "key", ("keyvault_keys", "keyvault_key_versions"))
    CERTIFICATE = ("certificates", "certificate", ("keyvault_certificates", "keyvault_certificate_versions"))

    @property
    def plural(self) -> str:
        return self.value[0]

    @property
    def singular(self) -> str:
        return self.value[1]

    @property
    def tables(self) -> tuple[str, str]:
        """Of the objects and of their versions."""
        return self.value[2]


class Operation(Enum):
    """A call on objects of one type: what it is called, its access-policy permission and its data action."""

    @property
    def title(self) -> str:
        return str(self.value[0])

    @property
    def permission(self) -> str:
        return str(self.value[1])

    @property
    def action(self) -> str:
        return f"Microsoft.KeyVault/vaults/{self.value[2]}"

    @property
    def object_type(self) -> ObjectType:
        raise NotImplementedError

    @property
    def on_object(self) -> bool:
        """Whether it is about one object, or all of a type, rather than about the vault."""
        return True

    @property
    def is_public(self) -> bool:
        """Whether it needs a key's public half only, and so no more than the right to read the key."""
        return False


class SecretOperation(Operation):
    """The calls on secrets."""

    SET = ("set secret", "set", "secrets/setSecret/action")
    GET = ("get secret", "get", "secrets/getSecret/action")
    UPDATE = ("update secret", "set", "secrets/update/action")
    LIST = ("list secrets", "list", "secrets/readMetadata/action")
    VERSIONS = ("list versions of secret", "list", "secrets/readMetadata/action")
    DELETE = ("delete secret", "delete", "secrets/delete")
    GET_DELETED = ("get deleted secret", "get", "secrets/readMetadata/action")
    LIST_DELETED = ("list deleted secrets", "list", "secrets/readMetadata/action")
    RECOVER = ("recover secret", "recover", "secrets/recover/action")
    PURGE = ("purge secret", "purge", "secrets/purge/action")
    BACKUP = ("backup secret", "backup", "secrets/backup/action")
    RESTORE = ("restore secret", "restore", "secrets/restore/action")

    @property
    def object_type(self) -> ObjectType:
        return ObjectType.SECRET


class KeyOperation(Operation):
    """The calls on keys."""

    CREATE = ("create key", "create", "keys/create/action")
    IMPORT = ("import key", "import", "keys/import/action")
    GET = ("get key", "get", "keys/read")
    UPDATE = ("update key", "update", "keys/update/action")
    LIST = ("list keys", "list", "keys/read")
    VERSIONS = ("list versions of key", "list", "keys/read")
    DELETE = ("delete key", "delete", "keys/delete")
    GET_DELETED = ("get deleted key", "get", "keys/read")
    LIST_DELETED = ("list deleted keys", "list", "keys/read")
    RECOVER = ("recover key", "recover", "keys/recover/action")
    PURGE = ("purge key", "purge", "keys/purge/action")
    BACKUP = ("backup key", "backup", "keys/backup/action")
    RESTORE = ("restore key", "restore", "keys/restore/action")
    ROTATE = ("rotate key", "rotate", "keys/rotate/action")
    GET_ROTATION_POLICY = ("get rotation policy of key", "getrotationpolicy", "keyrotationpolicies/read")
    SET_ROTATION_POLICY = ("set rotation policy of key", "setrotationpolicy", "keyrotationpolicies/write")
    ENCRYPT = ("encrypt with key", "encrypt", "keys/encrypt/action")
    DECRYPT = ("decrypt with key", "decrypt", "keys/decrypt/action")
    SIGN = ("sign with key", "sign", "keys/sign/action")
    VERIFY = ("verify with key", "verify", "keys/verify/action")
    WRAP = ("wrap with key", "wrapKey", "keys/wrap/action")
    UNWRAP = ("unwrap with key", "unwrapKey", "keys/unwrap/action")

    @property
    def object_type(self) -> ObjectType:
        return ObjectType.KEY

    @property
    def is_public(self) -> bool:
        return self in (KeyOperation.ENCRYPT, KeyOperation.VERIFY, KeyOperation.WRAP)


class CertificateOperation(Operation):
    """The calls on certificates."""

    CREATE = ("create certificate", "create", "certificates/create/action")
    IMPORT = ("import certificate", "import", "certificates/import/action")
    MERGE = ("merge certificate", "create", "certificates/create/action")
    GET = ("get certificate", "get", "certificates/read")
    UPDATE = ("update certificate", "update", "certificates/update/action")
    GET_POLICY = ("get policy of certificate", "get", "certificates/read")
    UPDATE_POLICY = ("update policy of certificate", "update", "certificates/update/action")
    GET_PENDING = ("get operation on certificate", "get", "certificates/read")
    CANCEL = ("cancel operation on certificate", "update", "certificates/update/action")
    DELETE_PENDING = ("delete operation on certificate", "delete", "certificates/delete")
    LIST = ("list certificates", "list", "certificates/read")
    VERSIONS = ("list versions of certificate", "list", "certificates/read")
    DELETE = ("delete certificate", "delete", "certificates/delete")
    GET_DELETED = ("get deleted certificate", "get", "certificates/read")
    LIST_DELETED = ("list deleted certificates", "list", "certificates/read")
    RECOVER = ("recover certificate", "recover", "certificates/recover/action")
    PURGE = ("purge certificate", "purge", "certificates/purge/action")
    BACKUP = ("backup certificate", "backup", "certificates/backup/action")
    RESTORE = ("restore certificate", "restore", "certificates/restore/action")

    @property
    def object_type(self) -> ObjectType:
        return ObjectType.CERTIFICATE


class IssuerOperation(Operation):
    """The calls on a vault's certificate issuers and on whom it tells of its certificates."""

    GET_CONTACTS = ("get certificate contacts", "managecontacts", "certificatecontacts/write")
    SET_CONTACTS = ("set certificate contacts", "managecontacts", "certificatecontacts/write")
    DELETE_CONTACTS = ("delete certificate contacts", "managecontacts", "certificatecontacts/write")
    LIST = ("list certificate issuers", "listissuers", "certificatecas/read")
    GET = ("get certificate issuer", "getissuers", "certificatecas/read")
    SET = ("set certificate issuer", "setissuers", "certificatecas/write")
    UPDATE = ("update certificate issuer", "setissuers", "certificatecas/write")
    DELETE = ("delete certificate issuer", "deleteissuers", "certificatecas/delete")

    @property
    def object_type(self) -> ObjectType:
        return ObjectType.CERTIFICATE

    @property
    def on_object(self) -> bool:
        return False
