"""What expressions see of a write, and the conditions under which a webhook or a policy is for it.

Contract: Kubernetes API surface, section 3.2.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from podpass.kube import names
from podpass.kube.objects import Obj
from podpass.kube.status import TOO_MANY, Cause, duplicate, invalid, required
from podpass.lab.cluster.admission.review import request_members, typed
from podpass.lab.cluster.expressions.engine import Expression, Failed, NotCompiled, compiled
from podpass.lab.cluster.extension import AdmissionAttributes, Allowed, Attributes, Authorizer, User

MAX_CONDITIONS = 64
OBJECTS = {"object": "dyn", "oldObject": "dyn", "request": "map<string, dyn>", "namespaceObject": "dyn"}
AUTHORIZER = {"authorizer": "map<string, dyn>", "authorizer.requestResource": "map<string, dyn>"}
PARAMS = {"params": "dyn"}

Variables = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Unmet:
    """A condition is false: the webhook or policy is not for this write."""

    name: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """No condition is false, and some could not be evaluated."""

    why: str


class Situation:
    """One write, as the variables of expressions. Made only where there are expressions: values cost copying."""

    def __init__(
        self,
        attributes: AdmissionAttributes,
        obj: Obj | None,
        old: Obj | None,
        namespace: Obj | None,
        authorizer: Authorizer,
    ) -> None:
        self._attributes = attributes
        self._obj, self._old, self._namespace = obj, old, namespace
        self._authorizer = authorizer

    @cached_property
    def values(self) -> dict[str, Any]:
        from podpass.lab.cluster.expressions.authorizer import authorizer

        attributes = self._attributes
        resource = attributes.kind.resource
        asker = authorizer(attributes.user.info())
        place = {"group": resource.group, "resource": resource.plural, "subresource": attributes.subresource}
        return {
            "object": typed(attributes, self._obj),
            "oldObject": typed(attributes, self._old),
            "request": {"name": "", "namespace": "", **request_members(attributes)},
            "namespaceObject": self._namespace,
            "authorizer": asker,
            "authorizer.requestResource": {
                **asker,
                **place,
                "namespace": attributes.namespace,
                "name": attributes.name,
            },
        }

    def asking(self) -> AbstractContextManager[None]:
        """Inside, expressions may ask the authorizer."""
        from podpass.lab.cluster.expressions.authorizer import asking

        return asking(self._answer)

    def _answer(self, question: Mapping[str, Any]) -> tuple[bool, str]:
        info = question["user"]
        user = User(
            str(info.get("username") or ""),
            str(info.get("uid") or ""),
            tuple(info.get("groups") or ()),
            {key: tuple(values) for key, values in (info.get("extra") or {}).items()},
        )
        found = self._authorizer.authorize(
            user,
            Attributes(
                verb=str(question["verb"]),
                path=str(question.get("path") or ""),
                group=str(question.get("group") or ""),
                version="*",
                resource=str(question.get("resource") or ""),
                subresource=str(question.get("subresource") or ""),
                namespace=str(question.get("namespace") or ""),
                name=str(question.get("name") or ""),
            ),
        )
        return isinstance(found, Allowed), found.reason if isinstance(found, Allowed) else ""


def evaluated(expression: Expression | NotCompiled, values: Mapping[str, Any]) -> Any | Failed:
    """The expression's value; a failure says which expression it was."""
    if isinstance(expression, NotCompiled):
        return Failed(f"compilation error: {expression.why}")
    found = expression.evaluate(values)
    if isinstance(found, Failed) and not found.over_budget:
        return Failed(f"expression '{expression.text}' resulted in error: {found.why}")
    return found


def condition(body: Obj, *, params: bool = False) -> Expression | NotCompiled:
    variables = {**OBJECTS, **AUTHORIZER, **(PARAMS if params else {})}
    return compiled(str(body.get("expression") or "").strip(), variables, ("bool",))


def unmet(
    conditions: Sequence[Obj], situation: Situation, values: Mapping[str, Any] | None = None
) -> Unmet | Unclear | None:
    """Whether all *conditions* hold (None), one is false, or none is false and some failed.

    *values* are those of a policy, which has parameters too.
    """
    faults: list[str] = []
    with situation.asking():
        for body in conditions:
            found = evaluated(condition(body, params=values is not None), values or situation.values)
            if isinstance(found, Failed):
                faults.append(found.why)
            elif found is not True:
                return Unmet(str(body.get("name") or ""))
    if not faults:
        return None
    distinct = list(dict.fromkeys(faults))
    return Unclear(distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]")


def condition_causes(conditions: Sequence[Obj], path: str, *, params: bool = False) -> Iterator[Cause]:
    """What is wrong with the match conditions of a webhook or policy."""
    if len(conditions) > MAX_CONDITIONS:
        text = f"Too many: {len(conditions)}: must have at most {MAX_CONDITIONS} items"
        yield Cause(TOO_MANY, text, path)
        return
    seen: set[str] = set()
    for index, body in enumerate(conditions):
        place = f"{path}[{index}]"
        text = str(body.get("expression") or "").strip()
        if not text:
            yield required(f"{place}.expression")
        else:
            found = condition(body, params=params)
            if isinstance(found, NotCompiled):
                yield invalid(f"{place}.expression", text, found.why)
        name = body.get("name") or ""
        if not name:
            yield required(f"{place}.name")
        elif fault := names.qualified_name_fault(name):
            yield invalid(f"{place}.name", name, fault)
        if name and name in seen:
            yield duplicate(f"{place}.name", name)
        seen.add(name)


IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*", re.ASCII)
RESERVED = frozenset(
    (
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if",
        "import", "let", "loop", "package", "namespace", "return", "var", "void", "while",
    )
)  # fmt: skip


def is_identifier(name: str) -> bool:
    return IDENTIFIER.fullmatch(name) is not None and name not in RESERVED
