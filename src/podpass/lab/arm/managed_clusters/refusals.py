"""How the container service refuses, in the codes and words that its clients print."""

from podpass.lab.arm.errors import ArmError, invalid_request

_NAMING = "Please see https://aka.ms/aks-naming-rules for more details."


def parameter(name: str, details: str = "") -> ArmError:
    """A value that can't be."""
    why = f" Error details: {details}" if details else ""
    return invalid_request(f"The value of parameter {name} is invalid.{why} {_NAMING}", "InvalidParameter", name)


def missing(name: str) -> ArmError:
    return invalid_request(f"Required parameter {name} is missing (null).", "InvalidParameter", name)


def fixed(name: str) -> ArmError:
    """A property that keeps the value it was created with."""
    return invalid_request(f"Changing property '{name}' is not allowed.", "PropertyChangeNotAllowed", name)


def in_progress(state: str) -> ArmError:
    return ArmError(
        409,
        "OperationNotAllowed",
        f"Operation is not allowed: Another operation ({state}) is in progress, please wait for it to finish before "
        "starting a new operation. See https://aka.ms/aks-pending-operation for more details",
    )


def wrong_state(provisioning: str, power: str, what: str) -> ArmError:
    """*what* is a word such as stopping."""
    return ArmError(
        409,
        "OperationNotAllowed",
        f"managed cluster is in Provisioning State({provisioning}) and Power State({power}), {what} cannot be "
        "performed",
    )


def version_not_supported(cluster: str, version: str) -> ArmError:
    return invalid_request(
        f"Managed cluster {cluster} is on version {version[:64]} which is not supported in this region. {_VERSIONS}",
        "K8sVersionNotSupported",
    )


def pool_version_not_supported(version: str) -> ArmError:
    return invalid_request(
        f"Version {version[:64]} is not supported in this region. {_VERSIONS}", "AgentPoolK8sVersionNotSupported"
    )


_VERSIONS = (
    "Please use [az aks get-versions] command to get the supported version list in this region. For more information, "
    "please check https://aka.ms/supported-version-list"
)


def no_system_pool() -> ArmError:
    return invalid_request("Must define at least one system pool.", "MustDefineAtLeastOneSystemPool")


def pool_introduced() -> ArmError:
    return invalid_request(
        "A new agent pool was introduced. Adding agent pools to an existing cluster is not allowed through managed "
        "cluster operations. For agent pool specific change, please use per agent pool operations: "
        "https://aka.ms/agent-pool-rest-api",
        "BadRequest",
        "agentPoolProfiles",
    )


def node_group_exists(name: str, subscription: str) -> ArmError:
    return invalid_request(
        f"Node resource group '{name}' under subscription '{subscription}' already exists, please provide a new one.",
        "NodeResourceGroupAlreadyExists",
    )


def node_group_is_own(name: str, group: str) -> ArmError:
    return invalid_request(
        f"Node resource group '{name}' is the same as ResourceGroup '{group}', which is not allowed, please provide a "
        "different node resource group.",
        "NodeResourceGroupSameAsResourceGroup",
    )


def issuer_stays() -> ArmError:
    return invalid_request("OIDC issuer feature cannot be disabled.", "OIDCIssuerFeatureCannotBeDisabled")


def issuer_needed(what: str) -> ArmError:
    return invalid_request(f"{what} requires the OIDC issuer to be enabled.")


def principal_not_found(client_id: str, tenant_id: str) -> ArmError:
    return invalid_request(
        f"Service principal clientID: {client_id} not found in Active Directory tenant {tenant_id}, Please see "
        "https://aka.ms/aks-sp-help for more details.",
        "ServicePrincipalNotFound",
    )
