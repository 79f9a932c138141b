"""Schemas of custom resources as the OpenAPI documents show them: with apiVersion, kind and metadata.

Contract: Kubernetes API surface, section 1.5.
"""

from collections.abc import Mapping
from typing import Any

from podpass.kube.objects import Obj

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_API_VERSION: Obj = {"type": "string", "description": "The version of the schema that this object has."}
_KIND: Obj = {"type": "string", "description": "The kind of this object, in CamelCase."}


def document_schema(schema: Mapping[str, Any]) -> Obj:
    """The schema of a whole object. Everything below metadata is Kubernetes' own."""
    found: Obj = {name: value for name, value in schema.items() if name not in ("properties", "default")}
    own: Mapping[str, Any] = schema.get("properties") or {}
    found["properties"] = {
        **own,
        "apiVersion": own.get("apiVersion") or _API_VERSION,
        "kind": own.get("kind") or _KIND,
        "metadata": {
            "allOf": [{"$ref": f"#/components/schemas/{OBJECT_META}"}],
            "description": "The object's name, labels, owners and the like.",
        },
    }
    return found
