"""The official client's informer keeps a cache of ConfigMaps and tells of every change."""

import sys
import threading

from kubernetes import client, config
from kubernetes.client import V1ConfigMap, V1ObjectMeta
from kubernetes.informer import ADDED, DELETED, MODIFIED, SharedInformer

namespace = sys.argv[1]
config.load_kube_config()
core = client.CoreV1Api()
core.create_namespaced_config_map(namespace, V1ConfigMap(metadata=V1ObjectMeta(name="first")))
told: list[str] = []
listed, gone = threading.Event(), threading.Event()


def tell(kind: str):  # type: ignore[no-untyped-def]
    def note(found) -> None:  # type: ignore[no-untyped-def]
        if found.metadata.name in {"first", "second"}:
            told.append(f"{kind} {found.metadata.name}")
        listed.set()
        if kind == DELETED:
            gone.set()

    return note


informer = SharedInformer(list_func=core.list_namespaced_config_map, namespace=namespace)
for kind in (ADDED, MODIFIED, DELETED):
    informer.add_event_handler(kind, tell(kind))
informer.start()
assert listed.wait(20)
core.create_namespaced_config_map(namespace, V1ConfigMap(metadata=V1ObjectMeta(name="second")))
core.patch_namespaced_config_map("second", namespace, {"data": {"a": "b"}})
core.delete_namespaced_config_map("second", namespace)
assert gone.wait(20), told
print(told)
print(sorted(found.metadata.name for found in informer.cache.list()))
informer.stop()
