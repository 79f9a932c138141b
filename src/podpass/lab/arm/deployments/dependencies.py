"""What waits for what: dependsOn, and what a resource asks of others by reference() and list…().

Only a name makes reference() wait, not an id, as in Azure. What isn't deployed is waited for by nobody.
"""

import graphlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from podpass.lab.arm.deployments.errors import invalid_template, unprocessable
from podpass.lab.arm.deployments.language.errors import ExpressionError
from podpass.lab.arm.deployments.language.parsing import Call, Literal, Member, Node, is_expression, parse
from podpass.lab.arm.deployments.program import Program
from podpass.lab.arm.deployments.resources import Planned

Graph = Mapping[str, frozenset[str]]
"""The keys of the resources that each one waits for."""


def graph(names: "Names") -> Graph:
    """What each deployed resource waits for. Raises ArmError: what is not defined, and circles."""
    deployed = [one for one in names.all if one.deployed]
    waits: dict[str, frozenset[str]] = {}
    for planned in deployed:
        before = {other.key for other in names.before(planned) if other.deployed and other is not planned}
        if planned.batch:
            before |= {
                one.key
                for one in deployed
                if one.loop == planned.loop and one.loops.current == planned.loops.current and one.batch < planned.batch
            }
        waits[planned.key] = frozenset(before)
    try:
        graphlib.TopologicalSorter(waits).prepare()
    except graphlib.CycleError as error:
        by_key = {one.key: one.id for one in deployed}
        raise invalid_template(
            f"Circular dependency detected on resource: '{by_key[error.args[1][0]]}'. Please see "
            "https://aka.ms/arm-template/#resources for usage details."
        ) from error
    return waits


def asks_for_state(written: Any, *, skip_template: bool = False) -> bool:
    """Whether an expression in *written* needs the state of resources."""
    return any(True for _ in runtime_calls(written, skip_template=skip_template))


def runtime_calls(written: Any, *, skip_template: bool = False) -> Iterator[Call]:
    """The calls of reference(), references() and list…() in any JSON of a template.

    What can't be parsed has none; evaluating it says so. *skip_template*: leave a nested template's own out.
    """
    if isinstance(written, str):
        if is_expression(written):
            try:
                node = parse(written)
            except ExpressionError:
                return
            yield from _calls(node)
    elif isinstance(written, Mapping):
        for name, value in written.items():
            yield from runtime_calls(name)
            if skip_template and name == "properties" and isinstance(value, Mapping):
                value = {key: inner for key, inner in value.items() if key != "template"}
            yield from runtime_calls(value)
    elif isinstance(written, list):
        for item in written:
            yield from runtime_calls(item)


def _calls(node: Node) -> Iterator[Call]:
    match node:
        case Call(name, arguments, namespace):
            wanted = name.lower()
            if not namespace and (
                wanted in ("reference", "references") or (wanted.startswith("list") and wanted != "list")
            ):
                yield node
            for argument in arguments:
                yield from _calls(argument)
        case Member(target, key):
            yield from _calls(target)
            yield from _calls(key)
        case Literal():
            return


class Names:
    """The resources of a template by the names that the template calls them."""

    def __init__(self, program: Program, resources: Iterable[Planned]) -> None:
        self._program = program
        self.all = list(resources)
        self._known: dict[str, list[Planned]] = {}
        for planned in self.all:
            for name in self._names_of(planned):
                self._known.setdefault(name, []).append(planned)

    def _names_of(self, planned: Planned) -> set[str]:
        if self._program.template.symbolic:
            return {name.lower() for name in (planned.symbol, planned.loop, planned.id) if name}
        typed = f"{planned.type.split('/')[0]}/" + "/".join(
            f"{kind}/{name}" for kind, name in zip(planned.type.split("/")[1:], planned.name.split("/"), strict=True)
        )
        return {name.lower() for name in (planned.name, planned.id, typed, planned.loop) if name}

    def called(self, name: str) -> list[Planned]:
        """The resources that *name* means; several when it is a loop."""
        return self._known.get(name.lower(), [])

    def before(self, planned: Planned) -> Iterator[Planned]:
        """What *planned* waits for. Raises ArmError."""
        for written in planned.depends_on:
            yield from self._depended(planned, written)
        for call in runtime_calls(planned.body, skip_template=planned.inner):
            yield from self._asked(planned, call)

    def _depended(self, planned: Planned, written: Any) -> list[Planned]:
        try:
            name = self._program.value(written, planned.loops)
        except ExpressionError as error:
            raise unprocessable(planned.id, str(error)) from error
        if not isinstance(name, str):
            raise unprocessable(planned.id, "The items of 'dependsOn' must be texts.")
        found = self.called(name)
        if not found:
            raise invalid_template(
                f"The resource '{name}' is not defined in the template. Please see https://aka.ms/arm-template for "
                "usage details."
            )
        alone = not self._program.template.symbolic and len({one.loop or one.key for one in found if one.deployed}) > 1
        if alone:
            raise invalid_template(
                f"The resource reference '{name}' is ambiguous: several resources of the template have this name. "
                "Please see https://aka.ms/arm-template for usage details."
            )
        return found

    def _asked(self, planned: Planned, call: Call) -> list[Planned]:
        if not call.arguments:
            return []
        try:
            name = self._program.evaluation(planned.loops, None).node(call.arguments[0])
        except ExpressionError:
            # It depends on the state of others, which are waited for on their own account.
            return []
        return self.called(name) if isinstance(name, str) and not name.startswith("/") else []
