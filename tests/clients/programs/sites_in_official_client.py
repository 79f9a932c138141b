"""Custom resources with the official client: CustomObjectsApi, and the dynamic client that looks kinds up."""

import sys

from kubernetes import client, config, dynamic, watch

namespace = sys.argv[1]
place = ("clients.example.test", "v1", namespace, "sites")
config.load_kube_config()
api = client.CustomObjectsApi()

site = {"apiVersion": "clients.example.test/v1", "kind": "Site", "metadata": {"name": "own"}, "spec": {"title": "a"}}
made = api.create_namespaced_custom_object(*place, site)
print(sorted(made["spec"].items()))
try:
    api.create_namespaced_custom_object(*place, site | {"metadata": {"name": "bad"}, "spec": {"theme": "none"}})
except client.ApiException as error:
    print(error.status, "spec.title" in error.body, "spec.theme" in error.body)
print(api.patch_namespaced_custom_object(*place, "own", {"spec": {"title": "b"}})["spec"]["title"])
print(api.patch_namespaced_custom_object_status(*place, "own", {"status": {"title": "b"}})["status"])
events = watch.Watch().stream(api.list_namespaced_custom_object, *place, timeout_seconds=1)
print([(each["type"], each["object"]["metadata"]["name"]) for each in events])

sites = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="clients.example.test/v1", kind="Site")
print(sites.name, sites.singular_name, sites.short_names, sorted(sites.subresources))
print([each.metadata.name for each in sites.get(namespace=namespace).items])
body = {"apiVersion": "clients.example.test/v1", "kind": "Site", "metadata": {"name": "own"}, "spec": {"theme": "dark"}}
taken = {"name": "own", "namespace": namespace, "field_manager": "dynamic", "force_conflicts": True}
print(sites.server_side_apply(body, **taken).spec.theme)
print(api.delete_namespaced_custom_object(*place, "own")["status"])
