"""Key vaults and what is in them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from podpass.lab.arm.access_policies import WORDS
from podpass.lab.scenario.entries import spelling
from podpass.lab.scenario.entries.access import PrincipalEntry
from podpass.lab.scenario.entries.directory import SourceEntry
from podpass.lab.scenario.entries.resources import PlacedEntry
from podpass.lab.scenario.fields import Between, Json, Words

_LATEST = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectEntry:
    """What every object in a vault has."""

    name: Annotated[str, spelling.OBJECT, "its name"]
    enabled: Annotated[bool, "whether it may be used"] = True
    tags: Annotated[dict[str, str], "its tags"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedEntry(ObjectEntry):
    """What may be good for a time only."""

    not_before: Annotated[int | None, Between(0, _LATEST), "not before then, in seconds since the epoch"] = None
    expires: Annotated[int | None, Between(0, _LATEST), "not from then on, in seconds since the epoch"] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretEntry(LimitedEntry):
    """A secret. With neither `value` nor `valueFrom` the lab makes a random one, once."""

    value: Annotated[str | None, "the value itself"] = field(default=None, repr=False)
    value_from: Annotated[SourceEntry | None, "where the value comes from"] = None
    content_type: Annotated[str | None, "what kind of value it is, for people"] = None

    def check(self) -> Iterator[tuple[str, str]]:
        if self.value is not None and self.value_from is not None:
            yield "valueFrom", "is too much beside value: say one of them"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry(LimitedEntry):
    """A key, made in the vault once."""

    type: Annotated[Literal["RSA", "EC"], "its sort"] = "RSA"
    size: Annotated[int, Between(2048, 4096), "of an RSA key, in bits: 2048, 3072 or 4096"] = 2048
    curve: Annotated[Literal["P-256", "P-256K", "P-384", "P-521"], "of an EC key"] = "P-256"
    operations: Annotated[
        tuple[str, ...],
        Words("encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"),
        "what it is for; what its sort can do when absent",
    ] = ()
    rotation: Annotated[Json, "its rotation policy as Key Vault spells it"] = field(default_factory=dict)

    def check(self) -> Iterator[tuple[str, str]]:
        if self.size not in (2048, 3072, 4096):
            yield "size", f"{self.size} is none of 2048, 3072, 4096"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateEntry(ObjectEntry):
    """A certificate signed with its own key, made in the vault once."""

    subject: Annotated[str, "its distinguished name, such as `CN=orders`"] = ""
    dns_names: Annotated[tuple[str, ...], "its subject's other names"] = ()
    validity_months: Annotated[int, Between(1, 1200), "how long it is good for"] = 12
    policy: Annotated[Json, "the whole policy as Key Vault spells it, in place of the three members above"] = field(
        default_factory=dict
    )

    def check(self) -> Iterator[tuple[str, str]]:
        if bool(self.policy) == bool(self.subject or self.dns_names):
            yield "subject", "needs to be there, or dnsNames, or else policy alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPolicyEntry(PrincipalEntry):
    """What somebody may do in a vault that decides by access policies. Words are such as `get` and `list`."""

    client_id: Annotated[str, spelling.GUID, "counts only for tokens got through this application"] = ""
    secrets: Annotated[tuple[str, ...], Words(*sorted(WORDS["secrets"])), "permissions on secrets"] = ()
    keys: Annotated[
        tuple[str, ...],
        Words(*sorted(WORDS["keys"])),
        "permissions on keys",
    ] = ()
    certificates: Annotated[
        tuple[str, ...],
        Words(*sorted(WORDS["certificates"])),
        "permissions on certificates",
    ] = ()
    storage: Annotated[
        tuple[str, ...], Words(*sorted(WORDS["storage"])), "permissions on storage accounts, which nothing here uses"
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRulesEntry:
    """From where a vault may be reached."""

    default_action: Annotated[Literal["Allow", "Deny"], "for everybody else"] = "Deny"
    bypass: Annotated[Literal["AzureServices", "None"], "who is let in anyway"] = "AzureServices"
    addresses: Annotated[tuple[str, ...], "addresses and ranges that are let in"] = ()
    subnets: Annotated[tuple[str, ...], "ids of subnets that are let in"] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultEntry(PlacedEntry):
    """A key vault. Its name is global, as in Azure."""

    name: Annotated[str, spelling.VAULT, "its name"]
    authorization: Annotated[Literal["rbac", "accessPolicies"], "how it decides who may do what"] = "rbac"
    sku: Annotated[Literal["standard", "premium"], "which kind it is"] = "standard"
    retention_days: Annotated[int, Between(7, 90), "how long what was deleted is kept"] = 90
    purge_protection: Annotated[bool, "whether what was deleted can't be purged before"] = False
    public: Annotated[bool, "whether it can be reached other than by private links"] = True
    enabled_for: Annotated[
        tuple[str, ...],
        Words("deployment", "diskEncryption", "templateDeployment"),
        "which services of Azure may read it",
    ] = ()
    network: Annotated[NetworkRulesEntry | None, "from where it may be reached; from everywhere when absent"] = None
    secrets: Annotated[tuple[SecretEntry, ...], "its secrets"] = ()
    keys: Annotated[tuple[KeyEntry, ...], "its keys"] = ()
    certificates: Annotated[tuple[CertificateEntry, ...], "its certificates"] = ()
    access_policies: Annotated[tuple[AccessPolicyEntry, ...], "who may do what, with `accessPolicies`"] = ()

    def check(self) -> Iterator[tuple[str, str]]:
        if self.authorization == "rbac" and self.access_policies:
            yield "accessPolicies", "have no effect in a vault with authorization: rbac"
