"""How texts are spelt in a scenario."""

import re

from podpass.lab.scenario.fields import Text

_GUID_PATTERN = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_DOMAIN_PATTERN = r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}"

GUID = Text(re.compile(f"(?:{_GUID_PATTERN})?"), "a GUID")
LABEL = Text(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"), "a name")
TITLE = Text(re.compile(r"[^/\x00-\x1f\x7f]{1,256}"), "a name without slashes")
DOMAIN = Text(re.compile(f"(?:{_DOMAIN_PATTERN})?"), "a domain name")
GROUP = Text(re.compile(r"[\w.()-]{1,90}(?<!\.)"), "a resource group's name")
IDENTITY = Text(re.compile(r"[A-Za-z0-9][\w-]{2,127}"), "a managed identity's name")
CREDENTIAL = Text(re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,119}"), "a federated credential's name")
VAULT = Text(re.compile(r"(?!.*--)[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]"), "a vault's name")
MACHINE = Text(re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_])?"), "a virtual machine's name")
POOL = Text(re.compile(r"[a-z][a-z0-9]{0,11}"), "a node pool's name: up to 12 small letters and digits")
OBJECT = Text(re.compile(r"[0-9A-Za-z-]{1,127}"), "a name of letters, digits and hyphens")
REGION = Text(re.compile(r"[a-z0-9]{2,30}"), "a region's name")
OPTIONAL_REGION = Text(re.compile(r"(?:[a-z0-9]{2,30})?"), "a region's name")
NAMESPACE = Text(re.compile(r"[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)+"), "a provider's name, such as Microsoft.KeyVault")
FEATURE = Text(
    re.compile(r"[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)+/[\w.-]{1,120}"), "a feature's name, such as Microsoft.Compute/Feature"
)
RESOURCE_TYPE = Text(re.compile(r"[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)+(?:/[A-Za-z0-9]+)+"), "a resource type")
RESOURCE_NAME = Text(re.compile(r"[^/?#%\\\s]{1,260}(?:/[^/?#%\\\s]{1,260})*"), "a resource's name")
ARM_ID = Text(re.compile(r"(?:/[^?#%\\\s]{0,2000})?"), "an id, which starts with a slash")
VARIABLE = Text(re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*)?"), "the name of a variable")
