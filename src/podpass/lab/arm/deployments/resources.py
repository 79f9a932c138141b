"""The resources of a template, one by one: loops unrolled, names and ids worked out, bodies still as written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from podpass.lab.arm.deployments import places
from podpass.lab.arm.deployments.errors import invalid_template, unprocessable
from podpass.lab.arm.deployments.functions import Loops
from podpass.lab.arm.deployments.language.errors import ExpressionError
from podpass.lab.arm.deployments.language.values import key_of
from podpass.lab.arm.deployments.places import DEPLOYMENTS
from podpass.lab.arm.deployments.program import Program
from podpass.lab.arm.deployments.templates import MAX_RESOURCES, listed_resources

_ABOUT = frozenset(
    {
        "type",
        "apiversion",
        "name",
        "dependson",
        "condition",
        "copy",
        "scope",
        "resources",
        "comments",
        "metadata",
        "existing",
        "subscriptionid",
        "resourcegroup",
        "options",
        "asserts",
    }
)
"""What a template says of a resource, and Resource Manager keeps to itself."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planned:
    """One resource that a template asks for, or names as existing."""

    id: str
    type: str
    name: str
    api_version: str
    symbol: str
    """`identity`, or `identity[2]` out of a loop; empty without symbolic names."""
    loop: str
    """The name by which the whole loop is meant; empty outside of one."""
    batch: int = 0
    """Of a loop that goes on in batches: which one it is in, from 0."""
    wanted: bool
    """Whether its condition holds."""
    existing: bool
    body: Mapping[str, Any]
    loops: Loops
    depends_on: tuple[Any, ...] = ()
    """As written."""
    position: int = field(default=0)

    @property
    def key(self) -> str:
        return self.id.lower()

    @property
    def deployed(self) -> bool:
        return self.wanted and not self.existing

    @property
    def nested(self) -> bool:
        """Whether it is a deployment of its own."""
        return self.type.lower() == DEPLOYMENTS.lower()

    @property
    def inner(self) -> bool:
        """Whether its own template is evaluated by itself, and not here."""
        properties = self.body.get("properties")
        options = properties.get("expressionEvaluationOptions") if isinstance(properties, Mapping) else None
        return self.nested and isinstance(options, Mapping) and str(options.get("scope")).lower() == "inner"


def expand(program: Program) -> list[Planned]:
    """All resources of the template. Raises ArmError."""
    expansion = _Expansion(program)
    program.named = expansion.named
    found: list[Planned] = []
    for planned in expansion.resources(program.template.resources, None, Loops()):
        if len(found) >= MAX_RESOURCES:
            raise invalid_template(
                f"The number of template resources limit exceeded. Limit: '{MAX_RESOURCES}'. Please see "
                "https://aka.ms/arm-template for usage details."
            )
        found.append(planned)
    _refuse_doubles(found)
    return found


class _Expansion:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._count = 0

    def resources(
        self, written: tuple[tuple[str, Mapping[str, Any]], ...], parent: Planned | None, loops: Loops
    ) -> Iterator[Planned]:
        for symbol, resource in written:
            copy = _member(resource, "copy")
            if copy is None:
                yield from self._with_children(symbol, resource, parent, loops, loop="", batch=0)
                continue
            if not isinstance(copy, Mapping):
                raise invalid_template("The copy loop of a resource is not a JSON object")
            name = str(self._evaluated(copy.get("name"), loops, symbol or "copy"))
            count = self._program.count(copy, loops, f"'{name}'")
            serial = str(copy.get("mode", "Parallel")).lower() == "serial"
            size = copy.get("batchSize", 1)
            for at in range(count):
                inside = loops.inside(name, at, of_resource=True)
                one = f"{symbol}[{at}]" if symbol else ""
                batch = at // max(size if isinstance(size, int) else 1, 1) if serial else 0
                yield from self._with_children(one, resource, parent, inside, loop=symbol or name, batch=batch)

    def _with_children(
        self, symbol: str, written: Mapping[str, Any], parent: Planned | None, loops: Loops, *, loop: str, batch: int
    ) -> Iterator[Planned]:
        planned = self._planned(symbol, written, parent, loops, loop=loop, batch=batch)
        yield planned
        children = _member(written, "resources")
        if children:
            yield from self.resources(tuple(listed_resources(children)), planned, loops)

    def _planned(
        self, symbol: str, written: Mapping[str, Any], parent: Planned | None, loops: Loops, *, loop: str, batch: int
    ) -> Planned:
        label = symbol or str(_member(written, "name"))
        resource_type = str(self._required(written, "type", loops, label))
        name = str(self._required(written, "name", loops, label))
        existing = self._evaluated(_member(written, "existing"), loops, label) is True
        wanted = self._evaluated(_member(written, "condition"), loops, label)
        if wanted is not None and not isinstance(wanted, bool):
            raise unprocessable(label, "The condition of a resource must be a boolean.")
        if parent is not None:
            own = resource_type.lower().startswith(parent.type.lower() + "/")
            resource_type = resource_type if own else f"{parent.type}/{resource_type}"
            name = f"{parent.name}/{name}"
        depends_on = _member(written, "dependsOn")
        if depends_on is not None and not isinstance(depends_on, list):
            raise unprocessable(label, "The member 'dependsOn' of a resource must be an array.")
        self._count += 1
        return Planned(
            id=self._id(written, resource_type, name, loops, label),
            type=resource_type,
            name=name,
            api_version=str(self._required(written, "apiVersion", loops, label)),
            symbol=symbol,
            loop=loop,
            batch=batch,
            wanted=wanted is not False,
            existing=existing,
            body={key: value for key, value in written.items() if key.lower() not in _ABOUT},
            loops=loops,
            depends_on=tuple(depends_on or ()),
            position=self._count,
        )

    def _id(self, written: Mapping[str, Any], resource_type: str, name: str, loops: Loops, label: str) -> str:
        place = self._program.place
        kinds, names = resource_type.split("/")[1:], name.split("/")
        if not kinds or len(kinds) != len(names) or not all(names):
            raise invalid_template(
                f"The template resource '{name}' for type '{resource_type}' has incorrect segment lengths. A nested "
                "resource type must have identical number of segments as its resource name. A root resource type must "
                "have segment length one greater than its resource name. Please see "
                "https://aka.ms/arm-template/#resources for usage details."
            )
        subscription = self._evaluated(_member(written, "subscriptionId"), loops, label)
        group = self._evaluated(_member(written, "resourceGroup"), loops, label)
        base = places.scope_of(
            str(subscription or place.subscription_id),
            # Another subscription without a group, or a location, means a deployment to the subscription itself.
            str(
                group
                or ("" if subscription or (_member(written, "location") and _is_nested(resource_type)) else place.group)
            ),
        )
        scope = self._evaluated(_member(written, "scope"), loops, label)
        if isinstance(scope, str) and scope:
            base = scope if scope.startswith("/") else f"{base}/providers/{scope}"
        return places.id_of(base, resource_type, names)

    def named(self, symbol: str) -> dict[str, str]:
        """The resource of a symbolic name, or of one turn of a loop (`identity[2]`). Raises ExpressionError."""
        name, _, rest = symbol.partition("[")
        for key, written in self._program.template.resources:
            if not key or key.lower() != name.lower():
                continue
            copy, loops = _member(written, "copy"), Loops()
            if isinstance(copy, Mapping) and rest[:-1].isdigit():
                loops = loops.inside(str(copy.get("name")), int(rest[:-1]), of_resource=True)
            own = self._planned(symbol, written, None, loops, loop="", batch=0)
            return {"id": own.id, "name": own.name, "type": own.type, "apiVersion": own.api_version}
        raise ExpressionError(f"There is no resource with the symbolic name '{symbol}' in the template.")

    def _required(self, written: Mapping[str, Any], name: str, loops: Loops, label: str) -> Any:
        value = self._evaluated(_member(written, name), loops, label)
        if not isinstance(value, str) or not value:
            raise invalid_template(
                f"The template resource '{label}' is not valid. The '{name}' property is required. Please see "
                "https://aka.ms/arm-template/#resources for usage details."
            )
        return value

    def _evaluated(self, written: Any, loops: Loops, label: str) -> Any:
        try:
            return self._program.value(written, loops)
        except ExpressionError as error:
            raise invalid_template(f"The template resource '{label}' is not valid: {error}") from error


def _is_nested(resource_type: str) -> bool:
    return resource_type.lower() == DEPLOYMENTS.lower()


def _member(written: Mapping[str, Any], name: str) -> Any:
    key = key_of(written, name)
    return None if key is None else written[key]


def _refuse_doubles(found: list[Planned]) -> None:
    seen: set[str] = set()
    for planned in found:
        if planned.existing or not planned.wanted:
            continue
        if planned.key in seen:
            raise invalid_template(
                f"The resource '{planned.id}' is defined multiple times in a template. Please see "
                "https://aka.ms/arm-template/#resources for usage details."
            )
        seen.add(planned.key)
