"""A template with its parameters, ready to be evaluated at any place in it."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from podpass.lab.arm.deployments import places
from podpass.lab.arm.deployments.errors import invalid_template
from podpass.lab.arm.deployments.functions import (
    Loops,
    Runtime,
    copy_index,
    listing,
    looked_up,
    runtime_functions,
    utc_now,
)
from podpass.lab.arm.deployments.language.errors import ExpressionError
from podpass.lab.arm.deployments.language.evaluation import Evaluation
from podpass.lab.arm.deployments.language.parsing import Call
from podpass.lab.arm.deployments.language.registry import MANY, Function, text
from podpass.lab.arm.deployments.language.values import key_of
from podpass.lab.arm.deployments.parameters import Parameters, resolve
from podpass.lab.arm.deployments.places import Place
from podpass.lab.arm.deployments.templates import MAX_RESOURCES, Template

_MAX_CALLS = 16
_MAX_SIZE = 100_000


class Program:
    """A template at a place. Raises ArmError when its parameters are not as it wants them."""

    def __init__(
        self,
        template: Template,
        place: Place,
        given: Mapping[str, Any],
        *,
        now: float,
        resolved: Parameters | None = None,
    ) -> None:
        self.template, self.place = template, place
        self._variables: dict[str, Any] = {}
        self._evaluating: list[str] = []
        self._calls = 0
        if resolved is None:
            fresh = {"newguid": Function("newGuid", 0, 0, lambda: str(uuid.uuid4())), "utcnow": utc_now(now)}

            def default(written: Any, before: Mapping[str, Any]) -> Any:
                # A default may look at the parameters, and at nothing else of the template.
                known = {**fresh, **self._surroundings(), "parameters": looked_up("parameters", before)}
                return Evaluation(lambda call: None if call.namespace else known.get(call.name.lower())).tree(written)

            resolved = resolve(template, given, default)
        self.parameters = resolved
        self._known = self._functions()
        self.named: Callable[[str], dict[str, str]] = _nothing_named
        """What a symbolic name says of its resource: id, name, type, apiVersion."""

    def value(self, given: Any, loops: Loops | None = None, runtime: Runtime | None = None) -> Any:
        """*given*, any JSON of the template, with every expression evaluated and every copy in it made.

        Raises ExpressionError; RuntimeNeeded when it asks for the state of resources and there is no *runtime*.
        """
        loops = loops or Loops()
        if isinstance(given, Mapping):
            found: dict[str, Any] = {}
            evaluation = self.evaluation(loops, runtime)
            for name, value in given.items():
                if name == "copy" and is_copy(value):
                    for one in value:
                        found |= self._copied(one, loops, runtime)
                else:
                    found[text("string", evaluation.text(name))] = self.value(value, loops, runtime)
            return found
        if isinstance(given, list):
            return [self.value(item, loops, runtime) for item in given]
        return self.evaluation(loops, runtime).text(given) if isinstance(given, str) else given

    def evaluation(self, loops: Loops, runtime: Runtime | None) -> Evaluation:
        varying = {"copyindex": Function("copyIndex", 0, 2, lambda *given: copy_index(loops, *given))}
        varying |= runtime_functions(runtime)

        def find(call: Call) -> Function | None:
            if call.namespace:
                return self._user_function(call)
            name = call.name.lower()
            if name.startswith("list") and len(name) > len("list"):
                return listing(call.name, runtime)
            return varying.get(name) or self._known.get(name)

        return Evaluation(find)

    def count(self, copy: Mapping[str, Any], loops: Loops, what: str) -> int:
        """How many a copy loop makes. Raises ArmError."""
        try:
            count = self.value(copy.get("count"), loops)
        except ExpressionError as error:
            raise invalid_template(f"The copy count of {what} has no value: {error}") from error
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MAX_RESOURCES:
            raise invalid_template(
                f"The copy count of {what} must be an integer from 0 to {MAX_RESOURCES}. Please see "
                "https://aka.ms/arm-resource-loops for usage details."
            )
        return count

    def _copied(self, copy: Mapping[str, Any], loops: Loops, runtime: Runtime | None) -> dict[str, list[Any]]:
        name = text("copy", self.value(copy.get("name"), loops))
        count = self.count(copy, loops, f"'{name}'")
        return {name: [self.value(copy.get("input"), loops.inside(name, at), runtime) for at in range(count)]}

    def variable(self, name: str) -> Any:
        wanted = name.lower()
        if wanted in self._variables:
            return self._variables[wanted]
        if wanted in self._evaluating:
            raise ExpressionError(f"The template variable '{name}' refers to itself")
        self._evaluating.append(wanted)
        try:
            value = self._evaluated_variable(name)
        finally:
            self._evaluating.pop()
        if _size(value) > _MAX_SIZE:
            raise ExpressionError(f"The template variable '{name}' has more than {_MAX_SIZE} values")
        self._variables[wanted] = value
        return value

    def _evaluated_variable(self, name: str) -> Any:
        key = key_of(self.template.variables, name)
        if key is not None and key != "copy":
            return self.value(self.template.variables[key])
        copies = self.template.variables.get("copy")
        for copy in copies if copies is not None and is_copy(copies) else ():
            if str(copy["name"]).lower() == name.lower():
                return next(iter(self._copied(copy, Loops(), None).values()))
        raise ExpressionError(
            f"The template variable '{name}' is not found. Please see https://aka.ms/arm-template/#variables for usage "
            "details."
        )

    # Functions

    def _surroundings(self) -> dict[str, Function]:
        place = self.place

        def group() -> Any:
            if place.resource_group is None:
                raise ExpressionError(
                    "The template function 'resourceGroup' is not expected at this location: the deployment is at the "
                    "scope of a subscription."
                )
            return place.resource_group

        def ids(name: str, run: Callable[..., Any], *, placed: bool) -> Function:
            return Function(name, 1, MANY, (lambda *given: run(place, *given)) if placed else run)

        known = [
            Function("resourceGroup", 0, 0, group),
            Function("subscription", 0, 0, lambda: place.subscription),
            Function("tenant", 0, 0, lambda: place.tenant),
            Function("environment", 0, 0, lambda: place.environment),
            Function("deployer", 0, 0, lambda: place.deployer),
            Function("deployment", 0, 0, self._deployment),
            ids("resourceId", places.resource_id, placed=True),
            ids("subscriptionResourceId", places.subscription_resource_id, placed=True),
            ids("tenantResourceId", places.tenant_resource_id, placed=False),
            ids("managementGroupResourceId", places.management_group_resource_id, placed=False),
            ids("extensionResourceId", places.extension_resource_id, placed=False),
        ]
        return {one.name.lower(): one for one in known}

    def _functions(self) -> dict[str, Function]:
        """Those that are the same everywhere in the template."""
        known = [
            looked_up("parameters", self.parameters.values),
            Function("variables", 1, 1, lambda name: self.variable(text("variables", name))),
            Function("resourceInfo", 1, 1, lambda symbol: self.named(text("resourceInfo", symbol))),
        ]
        return {**self._surroundings(), **{one.name.lower(): one for one in known}}

    def _deployment(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "name": self.place.deployment,
            "properties": {
                "template": dict(self.template.document),
                "parameters": self.parameters.shown(),
                "mode": self.place.mode,
                "provisioningState": "Accepted",
            },
        }
        return {**document, "location": self.place.location} if self.place.location else document

    def _user_function(self, call: Call) -> Function | None:
        definition = self.template.functions.get((call.namespace.lower(), call.name.lower()))
        if definition is None:
            return None

        def run(*arguments: Any) -> Any:
            own = looked_up("parameters", dict(zip(definition.parameters, arguments, strict=True)))

            def find(inner: Call) -> Function | None:
                if inner.namespace:
                    return self._user_function(inner)
                return own if inner.name.lower() == "parameters" else None

            if self._calls >= _MAX_CALLS:
                raise ExpressionError(f"The template function '{call.namespace}.{call.name}' calls itself without end")
            self._calls += 1
            try:
                return Evaluation(find).tree(definition.value)
            finally:
                self._calls -= 1

        count = len(definition.parameters)
        return Function(f"{call.namespace}.{call.name}", count, count, run)


def _nothing_named(symbol: str) -> dict[str, str]:
    raise ExpressionError(f"There is no resource with the symbolic name '{symbol}' in the template.")


def is_copy(value: Any) -> bool:
    """Whether the member `copy` of an object is a list of loops, and no property of that name."""
    return isinstance(value, list) and all(
        isinstance(one, Mapping) and {"name", "count", "input"} <= one.keys() for one in value
    )


def _size(value: Any) -> int:
    """How many values a value is made of; counting stops where there are too many."""
    count, waiting = 0, [value]
    while waiting and count <= _MAX_SIZE:
        one = waiting.pop()
        count += 1
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return count
