"""Discovery: which groups, versions and resources there are, in the aggregated and in the legacy form.

Contract: Kubernetes API surface, sections 1.1 and 1.2.
"""

from collections.abc import Iterable, Iterator

from podpass.kube.objects import Obj
from podpass.lab.cluster.registry import Kind, Registry, Subresource
from podpass.lab.cluster.versions import newest_first

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

VERSION: Obj = {
    "major": "1",
    "minor": "37",
    "emulationMajor": "1",
    "emulationMinor": "37",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "36",
    "gitVersion": "v1.37.0",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "2026-08-26T00:00:00Z",
    "goVersion": "go1.26",
    "compiler": "gc",
    "platform": "linux/amd64",
}


def wants_aggregated(accept: str) -> bool | None:
    """Whether the first alternative of an Accept header that discovery knows is the aggregated form.

    None when it knows none of them: Kubernetes 1.37 serves no other version of it, and no HTML.
    """
    if not accept:
        return False
    for alternative in accept.split(","):
        media_type, *parameters = (part.strip() for part in alternative.split(";"))
        if media_type not in ("application/json", "application/yaml", "*/*"):
            continue
        given = dict(parameter.partition("=")[::2] for parameter in parameters)
        if "as" not in given:
            return False
        if given == {"g": "apidiscovery.k8s.io", "v": "v2", "as": "APIGroupDiscoveryList"}:
            return True
    return None


def subresources_of(kind: Kind) -> Iterator[Subresource]:
    """The kind's own subresources, and `status` where the kind splits it off."""
    if kind.has_status and "status" not in kind.subresources:
        resource = kind.resource
        yield Subresource("status", ("get", "patch", "update"), resource.kind, resource.group, resource.version)
    yield from kind.subresources.values()


def aggregated(registry: Registry, *, core: bool) -> Obj:
    """The APIGroupDiscoveryList of `/api` (*core*) or of `/apis`."""
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None},
                "versions": [
                    {
                        "version": version,
                        "resources": [_aggregated_resource(kind) for kind in kinds],
                        "freshness": "Current",
                    }
                    for version, kinds in versions.items()
                ],
            }
            for group, versions in _groups(registry).items()
            if (not group) == core
        ],
    }


def _aggregated_resource(kind: Kind) -> Obj:
    resource = kind.resource
    entry: Obj = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular_name,
        "verbs": list(kind.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    below = [
        {
            "subresource": each.name,
            "responseKind": {"group": each.group, "version": each.version, "kind": each.kind},
            "verbs": list(each.verbs),
        }
        for each in subresources_of(kind)
    ]
    if below:
        entry["subresources"] = below
    return entry


def api_versions(host: str) -> Obj:
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": host}],
    }


def group_list(registry: Registry) -> Obj:
    groups = [_group(name, versions) for name, versions in _groups(registry).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(registry: Registry, name: str) -> Obj | None:
    """The APIGroup of one group; None when there is none of that name."""
    versions = _groups(registry).get(name)
    return None if not name or versions is None else {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}


def resource_list(registry: Registry, group_name: str, version: str) -> Obj | None:
    """The APIResourceList of one group version; None when it is not served."""
    kinds = _groups(registry).get(group_name, {}).get(version)
    if kinds is None:
        return None
    resources: list[Obj] = []
    for kind in kinds:
        resource = kind.resource
        entry: Obj = {
            "name": resource.plural,
            "singularName": resource.singular_name,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": list(kind.verbs),
        }
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        if resource.categories:
            entry["categories"] = list(resource.categories)
        resources.append(entry)
        for each in subresources_of(kind):
            below: Obj = {
                "name": f"{resource.plural}/{each.name}",
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": each.kind,
                "verbs": list(each.verbs),
            }
            if (each.group, each.version) != (resource.group, resource.version):
                below["group"], below["version"] = each.group, each.version
            resources.append(below)
    # Never "/v1" for the core group: kubectl would then find no resource in it.
    group_version = f"{group_name}/{version}" if group_name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}


def root_paths(registry: Registry) -> Obj:
    paths = ["/.well-known/openid-configuration", "/api", "/api/v1", "/apis"]
    for name, versions in _groups(registry).items():
        if name:
            paths += [f"/apis/{name}", *(f"/apis/{name}/{version}" for version in versions)]
    paths += ["/healthz", "/livez", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version"]
    return {"paths": sorted(paths)}


def _group(name: str, versions: Iterable[str]) -> Obj:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _groups(registry: Registry) -> dict[str, dict[str, list[Kind]]]:
    groups: dict[str, dict[str, list[Kind]]] = {}
    for kind in registry:
        groups.setdefault(kind.resource.group, {}).setdefault(kind.resource.version, []).append(kind)
    return {name: {each: versions[each] for each in newest_first(versions)} for name, versions in groups.items()}
