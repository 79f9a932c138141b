"""Role-based access control: may this user do that, and if not, why.

The decision is a pure function over the roles and bindings that apply. Members of system:masters may do everything,
as the API server lets them before it looks at any role. Contract: Kubernetes API surface, section 6.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.lab.cluster.extension import Allowed, Attributes, Denied, Objects, User

MASTERS = "system:masters"
_ACCOUNT_PREFIX = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a role."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()

    @classmethod
    def of(cls, rule: Obj) -> "Rule":
        return cls(
            frozenset(rule.get("verbs") or ()),
            frozenset(rule.get("apiGroups") or ()),
            frozenset(rule.get("resources") or ()),
            frozenset(rule.get("resourceNames") or ()),
            frozenset(rule.get("nonResourceURLs") or ()),
        )

    def to_dict(self) -> Obj:
        if self.paths:
            return {"verbs": sorted(self.verbs), "nonResourceURLs": sorted(self.paths)}
        found: Obj = {
            "verbs": sorted(self.verbs),
            "apiGroups": sorted(self.groups),
            "resources": sorted(self.resources),
        }
        if self.names:
            found["resourceNames"] = sorted(self.names)
        return found

    def allows(self, attributes: Attributes) -> bool:
        if not self.verbs & {attributes.verb, "*"}:
            return False
        if not attributes.resource:
            return any(_path_matches(pattern, attributes.path) for pattern in self.paths)
        return (
            bool(self.groups & {attributes.group, "*"})
            and bool(self.resources & _resource_names(attributes))
            and (not self.names or attributes.name in self.names)
        )

    def covers(self, wanted: "Rule") -> bool:
        """Whether this rule allows all that *wanted*, a rule of one verb on one thing, does."""
        if not (self.verbs & {"*"} or wanted.verbs <= self.verbs):
            return False
        if wanted.paths:
            return all(any(_path_matches(pattern, path) for pattern in self.paths) for path in wanted.paths)
        subresources = {f"*/{name.partition('/')[2]}" for name in wanted.resources if "/" in name}
        return (
            ("*" in self.groups or wanted.groups <= self.groups)
            and ("*" in self.resources or wanted.resources <= self.resources or bool(subresources & self.resources))
            and (not self.names or (bool(wanted.names) and wanted.names <= self.names))
        )

    def broken_down(self) -> Iterator["Rule"]:
        """The rule as many, each of one verb on one resource, or one path."""
        for verb in sorted(self.verbs):
            for path in sorted(self.paths):
                yield Rule(frozenset({verb}), paths=frozenset({path}))
            for group in sorted(self.groups):
                for resource in sorted(self.resources):
                    for name in sorted(self.names) or ("",):
                        names = frozenset({name}) if name else frozenset[str]()
                        yield Rule(frozenset({verb}), frozenset({group}), frozenset({resource}), names)


@dataclass(frozen=True, slots=True)
class Grant:
    """A role's rules as a binding gives them to the user."""

    binding: str
    """For people: `ClusterRoleBinding "admins" of ClusterRole "cluster-admin" to User "ann"`."""
    rules: tuple[Rule, ...]


def _path_matches(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))


def _resource_names(attributes: Attributes) -> set[str]:
    if attributes.subresource:
        return {"*", f"{attributes.resource}/{attributes.subresource}", f"*/{attributes.subresource}"}
    return {"*", attributes.resource}


def decide(user: User, attributes: Attributes, grants: Iterable[Grant]) -> Allowed | Denied:
    """Whether one of the grants lets *user* do what is asked, by which binding, or why not."""
    if MASTERS in user.groups:
        return Allowed()
    for grant in grants:
        if any(rule.allows(attributes) for rule in grant.rules):
            return Allowed(f"RBAC: allowed by {grant.binding}")
    return Denied(denial(user, attributes))


def denial(user: User, attributes: Attributes) -> str:
    """The sentence that follows `… is forbidden:`."""
    if not attributes.resource:
        return f'User "{user.name}" cannot {attributes.verb} path "{attributes.path}"'
    resource = attributes.resource + (f"/{attributes.subresource}" if attributes.subresource else "")
    place = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
    return (
        f'User "{user.name}" cannot {attributes.verb} resource "{resource}" in API group "{attributes.group}" {place}'
    )


def subject_matches(subject: Obj, user: User, namespace: str) -> bool:
    """Whether a binding's *subject* is *user*. An account without a namespace is of the binding's own."""
    name = subject.get("name") or ""
    match subject.get("kind"):
        case "User":
            return name == user.name
        case "Group":
            return name in user.groups
        case "ServiceAccount":
            home = subject.get("namespace") or namespace
            return bool(home) and user.name == f"{_ACCOUNT_PREFIX}{home}:{name}"
        case _:
            return False


class Authorizer:
    """Decides by the roles and bindings that the cluster stores."""

    def __init__(self, cluster: Objects) -> None:
        self._objects = cluster
        self._rules: dict[tuple[str, str, str], tuple[Rule, ...]] = {}
        self._version = -1

    def authorize(self, user: User, attributes: Attributes) -> Allowed | Denied:
        return decide(user, attributes, self.grants(user, attributes.namespace))

    def grants(self, user: User, namespace: str = "") -> Iterator[Grant]:
        """What bindings give *user*: for the whole cluster, and in *namespace* if one is named."""
        if MASTERS in user.groups:
            yield Grant(
                f'group "{MASTERS}"',
                (
                    Rule(frozenset("*"), frozenset("*"), frozenset("*")),
                    Rule(frozenset("*"), paths=frozenset("*")),
                ),
            )
        for binding in self._objects.list(resources.CLUSTERROLEBINDINGS):
            yield from self._grant(binding, user, "")
        if namespace:
            for binding in self._objects.list(resources.ROLEBINDINGS, namespace):
                yield from self._grant(binding, user, namespace)

    def _grant(self, binding: Obj, user: User, namespace: str) -> Iterator[Grant]:
        for subject in binding.get("subjects") or ():
            if subject_matches(subject, user, namespace):
                reference = binding.get("roleRef") or {}
                kind, role = reference.get("kind") or "", reference.get("name") or ""
                place = f"{objects.name(binding)}/{namespace}" if namespace else objects.name(binding)
                whom = f'{subject.get("kind")} "{_subject_name(subject)}"'
                text = f'{"RoleBinding" if namespace else "ClusterRoleBinding"} "{place}" of {kind} "{role}" to {whom}'
                yield Grant(text, self.rules_of(kind, role, namespace))
                return

    def rules_of(self, kind: str, name: str, namespace: str) -> tuple[Rule, ...]:
        """The rules of a role; none when it does not exist."""
        version = self._objects.version(resources.ROLES) + self._objects.version(resources.CLUSTERROLES)
        if version != self._version:
            self._rules.clear()
            self._version = version
        key = (kind, name, namespace if kind == "Role" else "")
        if key not in self._rules:
            if kind == "Role":
                role = self._objects.find(resources.ROLES, name, namespace)
            else:
                role = self._objects.find(resources.CLUSTERROLES, name)
            self._rules[key] = tuple(Rule.of(rule) for rule in (role or {}).get("rules") or ())
        return self._rules[key]


def _subject_name(subject: Obj) -> str:
    name = subject.get("name") or ""
    return f"{name}/{subject.get('namespace')}" if subject.get("kind") == "ServiceAccount" else name


def missing_rules(wanted: Sequence[Rule], held: Sequence[Rule]) -> list[Rule]:
    """The parts of *wanted* that *held* does not cover: what writing a role may not hand out."""
    return [part for rule in wanted for part in rule.broken_down() if not any(each.covers(part) for each in held)]


def escalation(user: User, wanted: Sequence[Rule], held: Sequence[Rule]) -> str | None:
    """Why *user*, who holds *held*, may not write a role or binding of *wanted*; None when they may."""
    missing = missing_rules(wanted, held)
    if not missing:
        return None
    listed = "\n".join(str(_go_rule(rule)) for rule in missing[:20])
    groups = " ".join(f'"{group}"' for group in user.groups)
    return (
        f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n{listed}'
    )


def _go_rule(rule: Rule) -> str:
    parts = [
        (name, values)
        for name, values in (
            ("APIGroups", rule.groups),
            ("Resources", rule.resources),
            ("ResourceNames", rule.names),
            ("NonResourceURLs", rule.paths),
            ("Verbs", rule.verbs),
        )
        if values
    ]
    return "{" + ", ".join(f"{name}:{_go_list(values)}" for name, values in parts) + "}"


def _go_list(values: Iterable[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in sorted(values)) + "]"
