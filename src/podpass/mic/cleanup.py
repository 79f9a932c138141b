"""What MIC leaves when it goes for good: objects that a finalizer keeps, and nobody who would let go of them.

Contract: pod identity, section 9 (15).
"""

from collections.abc import Callable

from podpass.kube import objects
from podpass.kube.client import ApiError, Client
from podpass.mic.assigned import FINALIZER
from podpass.podidentity.resources import ASSIGNED_IDENTITIES


async def clean_up(client: Client, *, told: Callable[[str], None], dry_run: bool = False) -> int:
    """Delete every AzureAssignedIdentity, its finalizer first; how many there were.

    The identities stay on the machines. *told* hears a line for each. Raises ApiError and what else Client raises.
    """
    found = (await client.list(ASSIGNED_IDENTITIES)).items
    for obj in found:
        namespace, name = objects.key(obj)
        told(f"azureassignedidentity {namespace}/{name}")
        rest = [each for each in objects.finalizers(obj) if each != FINALIZER]
        try:
            if len(rest) != len(objects.finalizers(obj)):
                patch = {"metadata": {"finalizers": rest or None}}
                await client.patch(ASSIGNED_IDENTITIES, name, patch, namespace, dry_run=dry_run)
            if not dry_run and not objects.being_deleted(obj):
                await client.delete(ASSIGNED_IDENTITIES, name, namespace)
        except ApiError as error:
            if not error.not_found:
                raise
    return len(found)
