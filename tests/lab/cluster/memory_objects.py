"""The cluster's objects kept in a dictionary, for tests of the parts that only read them."""

from collections.abc import Iterable

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import Resource
from podpass.kube.status import StatusError


class MemoryObjects:
    def __init__(self, listed: Iterable[tuple[Resource, Obj]] = ()) -> None:
        self._found: dict[tuple[Resource, str, str], Obj] = {}
        self._versions: dict[Resource, int] = {}
        for resource, obj in listed:
            self.put(resource, obj)

    def put(self, resource: Resource, obj: Obj) -> None:
        self._found[resource, objects.namespace(obj), objects.name(obj)] = obj
        self._versions[resource] = self._versions.get(resource, 0) + 1

    def remove(self, resource: Resource, name: str, namespace: str = "") -> None:
        del self._found[resource, namespace, name]
        self._versions[resource] = self._versions.get(resource, 0) + 1

    def find(self, resource: Resource, name: str, namespace: str = "") -> Obj | None:
        return self._found.get((resource, namespace, name))

    def get(self, resource: Resource, name: str, namespace: str = "") -> Obj:
        found = self.find(resource, name, namespace)
        if found is None:
            raise StatusError.not_found(resource, name)
        return found

    def list(self, resource: Resource, namespace: str = "") -> list[Obj]:
        return [
            obj
            for (each, home, _), obj in self._found.items()
            if each == resource and (not namespace or home == namespace)
        ]

    def version(self, resource: Resource) -> int:
        return self._versions.get(resource, 0)

    async def create(self, *_: object, **__: object) -> Obj:
        raise NotImplementedError

    async def update(self, *_: object, **__: object) -> Obj:
        raise NotImplementedError

    async def delete(self, *_: object, **__: object) -> Obj:
        raise NotImplementedError
