"""What Azure's clusters can do and the lab's can't: asked for, it is refused, never kept as if it were so."""

from collections.abc import Iterator, Mapping
from typing import Any

from podpass.lab.arm import errors

SWITCHES: Mapping[str, str] = {
    "aadProfile": "Microsoft Entra integration of managed clusters",
    "aiToolchainOperatorProfile.enabled": "the AI toolchain operator",
    "apiServerAccessProfile.authorizedIPRanges": "authorized IP ranges of managed clusters",
    "apiServerAccessProfile.enablePrivateCluster": "private managed clusters",
    "apiServerAccessProfile.enableVnetIntegration": "the API server's VNet integration",
    "azureMonitorProfile.metrics.enabled": "the Azure Monitor profile",
    "diskEncryptionSetID": "disk encryption sets",
    "extendedLocation": "extended locations",
    "fqdnSubdomain": "private managed clusters",
    "hostedSystemProfile.enabled": "managed system pools",
    "httpProxyConfig": "the HTTP proxy of managed clusters",
    "ingressProfile.webAppRouting.enabled": "application routing",
    "securityProfile.azureKeyVaultKms.enabled": "encryption of secrets by Key Vault",
    "securityProfile.defender.securityMonitoring.enabled": "Defender",
    "securityProfile.imageCleaner.enabled": "the image cleaner",
    "serviceMeshProfile.istio": "the service mesh",
    "workloadAutoScalerProfile.keda.enabled": "KEDA",
    "workloadAutoScalerProfile.verticalPodAutoscaler.enabled": "the vertical pod autoscaler",
}


def check(properties: Mapping[str, Any]) -> None:
    """Raises ArmError, 501, for the first thing in *properties* that the lab can't do."""
    for path, what in SWITCHES.items():
        if _at(properties, path):
            raise errors.not_emulated(what)
    for name, profile in _members(properties.get("addonProfiles")):
        if isinstance(profile, Mapping) and profile.get("enabled"):
            raise errors.not_emulated(f"the add-on {name} of managed clusters")
    if _at(properties, "nodeProvisioningProfile.mode") == "Auto":
        raise errors.not_emulated("node auto-provisioning")


def check_pool(pool: Mapping[str, Any]) -> None:
    """The same for a node pool."""
    if pool.get("enableAutoScaling"):
        raise errors.not_emulated("the cluster autoscaler")
    if str(pool.get("osType") or "Linux").lower() != "linux":
        raise errors.not_emulated("Windows node pools")
    if str(pool.get("type") or "VirtualMachineScaleSets").lower() != "virtualmachinescalesets":
        raise errors.not_emulated("node pools other than virtual machine scale sets")
    if str(pool.get("scaleSetPriority") or "Regular").lower() != "regular":
        raise errors.not_emulated("spot node pools")
    if str(_at(pool, "powerState.code") or "Running").lower() != "running":
        raise errors.not_emulated("stopping one node pool")
    for member in ("vnetSubnetID", "podSubnetID"):
        if pool.get(member):
            raise errors.not_emulated("node pools in a virtual network of one's own")


def _at(properties: Mapping[str, Any], path: str) -> Any:
    value: Any = properties
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    yield from value.items() if isinstance(value, Mapping) else ()
