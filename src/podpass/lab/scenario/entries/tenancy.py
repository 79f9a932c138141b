"""Tenants, subscriptions and resource groups."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from podpass.lab.scenario.entries import spelling
from podpass.lab.scenario.fields import Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantEntry:
    """A directory."""

    name: Annotated[str, spelling.LABEL, "how the rest of the file refers to it"]
    id: Annotated[str, spelling.GUID, "chosen and kept when absent"] = ""
    domain: Annotated[str, spelling.DOMAIN, "a domain by which it may be called"] = ""
    flexible_issuers: Annotated[
        Literal["supported", "any"],
        "which issuers flexible federated credentials may name; with `any` they work in no real tenant",
    ] = "supported"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEntry:
    """Whether a subscription may create resources of a provider; it may unless it says otherwise."""

    namespace: Annotated[str, spelling.NAMESPACE, "such as `Microsoft.KeyVault`"]
    state: Annotated[Literal["Registered", "Unregistered"], "what it is"] = "Registered"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureEntry:
    """A preview feature of a provider."""

    name: Annotated[str, spelling.FEATURE, "provider and feature, with a slash between"]
    state: Annotated[Literal["Registered", "Unregistered"], "what it is"] = "Registered"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionEntry:
    """A subscription of a tenant."""

    name: Annotated[str, spelling.LABEL, "what it is called"]
    tenant: Annotated[str, Ref("tenants", parent=True), "whose it is"]
    id: Annotated[str, spelling.GUID, "chosen and kept when absent"] = ""
    providers: Annotated[tuple[ProviderEntry, ...], "which providers it has registered, where that is to be said"] = ()
    features: Annotated[tuple[FeatureEntry, ...], "which preview features it has"] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceGroupEntry:
    """A resource group."""

    name: Annotated[str, spelling.GROUP, "its name"]
    subscription: Annotated[str, Ref("subscriptions", parent=True), "where it is"]
    location: Annotated[str, spelling.REGION, "its region"] = "eastus"
    tags: Annotated[dict[str, str], "its tags"] = field(default_factory=dict)
