"""The image catalogue: what runs for which image. The lab pulls nothing.

An image name is looked up in three places, the first entry that matches counts: what `podpass lab image add` kept,
the user's images.yaml, the entries that come with the lab. An entry stands for a program of this machine, for a
directory, or for an image that was added from disk: an OCI image layout or a `docker save` archive, unpacked into a
root file system of its own.

Follows the OCI image specification 1.1 (layout, index, manifest, configuration, layers with whiteouts) and the
archives of `docker save`, old and new. Missing: sparse files in layers, owners of files (a container has one user,
who owns everything it sees), file capabilities, devices, registries.
"""

from podpass.lab.node.images.catalogue import Catalogue, NoImage, ResolvedImage
from podpass.lab.node.images.entries import Image
from podpass.lab.node.images.references import matches

__all__ = ["Catalogue", "Image", "NoImage", "ResolvedImage", "matches"]
