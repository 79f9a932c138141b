"""From a scenario's text to its values, or to all of its faults at once."""

import posixpath
import re
from collections.abc import Iterable
from typing import Protocol

from podpass.azure.clouds import PUBLIC
from podpass.lab.node.addresses import MOST_NODES
from podpass.lab.scenario import model
from podpass.lab.scenario.placed import Fault, Faults, Section, compose
from podpass.problems import PodpassError

_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_GROUP = re.compile(r"[\w.()-]{1,90}(?<!\.)")
_IDENTITY = re.compile(r"[A-Za-z0-9][\w-]{2,127}")
_CREDENTIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,119}")
_VAULT = re.compile(r"(?!.*--)[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]")
_MACHINE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?")
_SECRET = re.compile(r"[0-9A-Za-z-]{1,127}")
_REGION = re.compile(r"[a-z0-9]{2,30}")
_NUMBER = re.compile(r"[0-9]{1,4}")
_PERMISSIONS = ("all", "get", "list", "set", "delete", "backup", "restore", "recover", "purge")
_SCOPES = ("vault", "resourceGroup", "subscription")


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class ScenarioInvalid(PodpassError):
    """The scenario can't be used; `faults` holds everything that is wrong with it, in the order of its lines."""

    def __init__(self, source: str, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: (fault.line, fault.column)))
        listing = "\n".join(f"  {source}: {fault}" for fault in self.faults)
        count = len(self.faults)
        super().__init__("PP501", f"{source} has {count} fault{'s' if count != 1 else ''}\n{listing}", source=source)


def read(text: str, *, source: str = "scenario") -> model.Scenario:
    """The scenario in *text*. Raises ScenarioInvalid with every fault and its line."""
    faults = Faults()
    root = compose(text, faults)
    if root is None:
        raise ScenarioInvalid(source, faults.found)
    section = Section(root, "", faults)
    section.text("version", one_of=("1",))
    reader = _Reader()
    scenario = model.Scenario(
        tenants=section.each("tenants", reader.tenant) or model.DEFAULT.tenants,
        subscriptions=section.each("subscriptions", reader.subscription) or model.DEFAULT.subscriptions,
        clusters=section.each("clusters", reader.cluster) or model.DEFAULT.clusters,
        resource_groups=section.each("resourceGroups", reader.resource_group),
        identities=section.each("identities", reader.identity),
        vaults=section.each("vaults", reader.vault),
        virtual_machines=section.each("virtualMachines", reader.virtual_machine),
        role_assignments=section.each("roleAssignments", reader.role_assignment),
    )
    if len(scenario.clusters) > 1:
        section.fault("clusters", "a lab has one cluster so far")
    if sum(machine.host for machine in scenario.virtual_machines) > 1:
        section.fault("virtualMachines", "only one machine can be the host")
    section.close()
    reader.check_references(scenario)
    if faults.found:
        raise ScenarioInvalid(source, faults.found)
    return scenario


class _Reader:
    """Reads entries and remembers where each name is used, for the check that every name exists."""

    def __init__(self) -> None:
        self._uses: list[tuple[Section, str, str, str]] = []
        self._named: list[tuple[Section, str, str]] = []

    def _name(self, section: Section, kind: str, pattern: re.Pattern[str], says: str) -> str:
        name = section.text("name", pattern=pattern, says=says)
        self._named.append((section, kind, name))
        return name

    def _use(self, section: Section, member: str, kind: str, *, default: str | None = None) -> str:
        name = section.text(member, default=default)
        if section.has(member) or default:
            self._uses.append((section, member, kind, name))
        return name

    def tenant(self, section: Section) -> model.TenantEntry:
        return model.TenantEntry(
            name=self._name(section, "tenants", _LABEL, "a name"),
            id=section.text("id", default="", pattern=re.compile(f"(?:{_GUID.pattern})?"), says="a GUID").lower(),
            domain=section.text(
                "domain", default="", pattern=re.compile(f"(?:{_DOMAIN.pattern})?"), says="a domain name"
            ),
            flexible_issuers="any"
            if section.text("flexibleIssuers", default="supported", one_of=("supported", "any")) == "any"
            else "supported",
        )

    def subscription(self, section: Section) -> model.SubscriptionEntry:
        return model.SubscriptionEntry(
            name=self._name(section, "subscriptions", _LABEL, "a name"),
            tenant=self._use(section, "tenant", "tenants"),
            id=section.text("id", default="", pattern=re.compile(f"(?:{_GUID.pattern})?"), says="a GUID").lower(),
        )

    def cluster(self, section: Section) -> model.ClusterEntry:
        paths = section.texts("hostPaths")
        for path in paths:
            if posixpath.normpath(path) != path or not path.startswith("/") or path.startswith("//") or path == "/":
                section.fault("hostPaths", f"{path!r} is not the absolute path of a directory below /")
        return model.ClusterEntry(
            name=self._name(section, "clusters", _LABEL, "a name"),
            tenant=self._use(section, "tenant", "tenants"),
            region=section.text("region", default="eastus", pattern=_REGION, says="a region's name"),
            host_paths=paths,
            nodes=self._number_of_nodes(section),
        )

    def _number_of_nodes(self, section: Section) -> int:
        text = section.text("nodes", default="0")
        if not section.has("nodes"):
            return 0
        number = int(text) if _NUMBER.fullmatch(text) else 0
        if not 1 <= number <= MOST_NODES:
            section.fault("nodes", f"{text!r} is not a number from 1 to {MOST_NODES}")
        return number

    def resource_group(self, section: Section) -> model.ResourceGroupEntry:
        return model.ResourceGroupEntry(
            name=self._name(section, "resourceGroups", _GROUP, "a resource group's name"),
            subscription=self._use(section, "subscription", "subscriptions"),
            location=section.text("location", default="eastus", pattern=_REGION, says="a region's name"),
        )

    def identity(self, section: Section) -> model.IdentityEntry:
        return model.IdentityEntry(
            name=self._name(section, "identities", _IDENTITY, "a managed identity's name"),
            resource_group=self._use(section, "resourceGroup", "resourceGroups"),
            federated_credentials=section.each("federatedCredentials", self.federated_credential),
        )

    def federated_credential(self, section: Section) -> model.FederatedCredentialEntry:
        if section.has("issuer") == section.has("cluster"):
            section.fault("issuer", "exactly one of issuer and cluster is needed")
        if section.has("subject") == section.has("expression"):
            section.fault("subject", "exactly one of subject and expression is needed")
        return model.FederatedCredentialEntry(
            name=section.text("name", pattern=_CREDENTIAL, says="a federated credential's name"),
            subject=section.text("subject", default=""),
            expression=section.text("expression", default=""),
            issuer=section.text("issuer", default=""),
            cluster=self._use(section, "cluster", "clusters", default=""),
            audience=section.text("audience", default=PUBLIC.token_exchange_audience),
        )

    def vault(self, section: Section) -> model.VaultEntry:
        authorization = section.text("authorization", default="rbac", one_of=("rbac", "accessPolicies"))
        if authorization == "rbac" and section.has("accessPolicies"):
            section.fault("accessPolicies", "have no effect in a vault with authorization: rbac")
        return model.VaultEntry(
            name=self._name(section, "vaults", _VAULT, "a vault's name"),
            resource_group=self._use(section, "resourceGroup", "resourceGroups"),
            authorization="rbac" if authorization == "rbac" else "accessPolicies",
            secrets=section.each("secrets", self.secret),
            access_policies=section.each("accessPolicies", self.access_policy),
        )

    def virtual_machine(self, section: Section) -> model.VirtualMachineEntry:
        identities = section.texts("identities")
        self._uses.extend((section, "identities", "identities", name) for name in identities)
        return model.VirtualMachineEntry(
            name=self._name(section, "virtualMachines", _MACHINE, "a virtual machine's name"),
            resource_group=self._use(section, "resourceGroup", "resourceGroups"),
            system_assigned=section.text("systemAssigned", default="false", one_of=("true", "false")) == "true",
            identities=identities,
            host=section.text("host", default="false", one_of=("true", "false")) == "true",
        )

    def secret(self, section: Section) -> model.SecretEntry:
        return model.SecretEntry(
            name=section.text("name", pattern=_SECRET, says="a secret's name"),
            value=section.text("value") if section.has("value") else None,
            content_type=section.text("contentType") if section.has("contentType") else None,
        )

    def access_policy(self, section: Section) -> model.AccessPolicyEntry:
        return model.AccessPolicyEntry(
            identity=self._use(section, "identity", "identities"),
            secrets=section.texts("secrets", one_of=_PERMISSIONS),
        )

    def role_assignment(self, section: Section) -> model.RoleAssignmentEntry:
        scope_kind, scope = "subscription", ""
        scope_section = section.section("scope")
        if scope_section is None:
            section.fault("scope", "is required")
        else:
            given = [kind for kind in _SCOPES if scope_section.has(kind)]
            if len(given) != 1:
                scope_section.fault("", f"needs exactly one of {', '.join(_SCOPES)}")
            for kind in given:
                plural = {"vault": "vaults", "resourceGroup": "resourceGroups", "subscription": "subscriptions"}[kind]
                scope_kind, scope = kind, self._use(scope_section, kind, plural)
            scope_section.close()
        return model.RoleAssignmentEntry(
            identity=self._use(section, "identity", "identities"),
            role=section.text("role"),
            scope_kind=scope_kind,  # type: ignore[arg-type]
            scope=scope,
        )

    def check_references(self, scenario: model.Scenario) -> None:
        known: dict[str, set[str]] = {
            "tenants": _names(scenario.tenants),
            "subscriptions": _names(scenario.subscriptions),
            "clusters": _names(scenario.clusters),
            "resourceGroups": _names(scenario.resource_groups),
            "identities": _names(scenario.identities),
            "vaults": _names(scenario.vaults),
        }
        for section, member, kind, name in self._uses:
            if name and name not in known[kind]:
                have = ", ".join(sorted(known[kind])) or "none"
                section.fault(member, f"{name!r} is not among {kind} (there: {have})")
        seen: set[tuple[str, str]] = set()
        for section, kind, name in self._named:
            if name and (kind, name.lower()) in seen:
                section.fault("name", f"{name!r} stands twice among {kind}")
            seen.add((kind, name.lower()))


def _names(entries: Iterable[_Named]) -> set[str]:
    return {entry.name for entry in entries}
