"""Custom resources with lightkube: a generic resource made by hand, its status, apply and conflicts."""

import sys

from lightkube import ApiError, Client
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.types import PatchType

namespace = sys.argv[1]
Site = create_namespaced_resource("clients.example.test", "v1", "Site", "sites")
client = Client(namespace=namespace, field_manager="lightkube")

made = client.create(Site(metadata=ObjectMeta(name="light"), spec={"title": "one"}))
print(made.spec["theme"], made.metadata.generation)
made.spec["title"] = "two"
print(client.replace(made).metadata.generation)
try:
    client.replace(made)
except ApiError as error:
    print(error.status.code, error.status.reason)
patched = client.patch(Site, "light", {"spec": {"title": "three"}}, patch_type=PatchType.MERGE)
print(patched.spec["title"])
try:
    client.patch(Site, "light", {"spec": {"title": "four"}})
except ApiError as error:
    print(error.status.code, error.status.reason)
print(client.patch(Site.Status, "light", {"status": {"title": "seen"}}, patch_type=PatchType.MERGE).status)
try:
    client.apply(Site(metadata=ObjectMeta(name="light"), spec={"title": "mine"}), field_manager="other")
except ApiError as error:
    print(error.status.code, error.status.details.causes[0].field)
print([each.metadata.name for each in client.list(Site)])
client.delete(Site, "light")
