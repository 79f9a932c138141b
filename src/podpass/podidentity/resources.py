"""The custom resources and the label by which pods ask for an identity.

Contract: pod identity, section 1.
"""

from podpass.kube.resources import Resource

GROUP = "aadpodidentity.k8s.io"
BINDING_LABEL = "aadpodidbinding"
BEHAVIOR_ANNOTATION = "aadpodidentity.k8s.io/Behavior"
FORMER_ANNOTATION = "aadpodidentity.k8s.io/former-identities"
"""On an AzureAssignedIdentity: what it held before it was written anew, as ARM ids with commas between them.

Not of the original. The machine is yet to lose them, and a controller that starts in between could not know.
"""
NAMESPACED = "namespaced"
"""The value of the annotation that keeps one identity within its namespace."""


def _resource(plural: str, kind: str) -> Resource:
    return Resource(GROUP, "v1", plural, kind, True)


IDENTITIES = _resource("azureidentities", "AzureIdentity")
BINDINGS = _resource("azureidentitybindings", "AzureIdentityBinding")
ASSIGNED_IDENTITIES = _resource("azureassignedidentities", "AzureAssignedIdentity")
EXCEPTIONS = _resource("azurepodidentityexceptions", "AzurePodIdentityException")
