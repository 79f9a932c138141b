"""A script in kr8s: start a pod, label it, wait for it, read its log, remove it."""

import sys

import kr8s
from kr8s.objects import ConfigMap, Pod

GREET = "echo hello; exec sleep 60"
namespace = sys.argv[1]
api = kr8s.api()
print("server", api.version()["gitVersion"][:2])
pod = Pod(
    {
        "metadata": {"name": "greeter", "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", GREET]}],
        },
    }
)
pod.create()
pod.label(tier="front")
pod.annotate({"note": "one"})
pod.wait("condition=Ready", timeout=30)
print("ready", pod.ready(), pod.labels["tier"], pod.annotations["note"])
print("log", next(iter(pod.logs(container="c", follow=True, timeout=20))))
print("found", [found.name for found in kr8s.get("pods", namespace=namespace, label_selector="tier=front")])
settings = ConfigMap({"metadata": {"name": "settings", "namespace": namespace}, "data": {"a": "1"}})
settings.create()
settings.patch({"data": {"b": "2"}})
print("data", settings.data.a, settings.data.b)
pod.delete(grace_period=0, force=True)
pod.wait("delete", timeout=30)
print("gone", not pod.exists())
