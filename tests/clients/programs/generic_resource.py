"""lightkube with a kind of our own: the definition, generic resources, status, scale, a watch until the end."""

import sys

from lightkube import ApiError, Client
from lightkube.codecs import load_all_yaml
from lightkube.generic_resource import create_namespaced_resource
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.types import PatchType

DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.clients.example.test}
spec:
  group: clients.example.test
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {size: {type: integer, minimum: 1, default: 3}, colour: {type: string}}
          status:
            type: object
            properties: {phase: {type: string}}
"""
NAME = "widgets.clients.example.test"
Widget = create_namespaced_resource("clients.example.test", "v1", "Widget", "widgets")

with Client(field_manager="widgets", namespace=sys.argv[1]) as client:
    for definition in load_all_yaml(DEFINITION):
        client.create(definition)
    client.wait(CustomResourceDefinition, NAME, for_conditions=["Established"])
    made = client.create(Widget(metadata={"name": "w"}, spec={"colour": "blue", "unknown": 1}))
    print("made", made.spec)
    try:
        client.patch(Widget, "w", {"spec": {"size": 0}}, patch_type=PatchType.MERGE)
    except ApiError as refusal:
        print(refusal.status.code, refusal.status.message)
    client.patch(Widget.Status, "w", {"status": {"phase": "Ready"}}, patch_type=PatchType.MERGE)
    client.apply(Widget(metadata={"name": "w"}, spec={"size": 5}), force=True)
    kept = client.get(Widget, "w")
    print("kept", kept.spec["size"], kept.status, kept.metadata.generation)
    client.delete(Widget, "w")
    for event, widget in client.watch(Widget, resource_version=kept.metadata.resourceVersion, server_timeout=20):
        print(event, widget.metadata.name)
        if event == "DELETED":
            break
    client.delete(CustomResourceDefinition, NAME)
