"""What a deployment gives back. Secure outputs are not shown, and not stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from podpass.lab.arm.deployments.functions import Loops, Runtime
from podpass.lab.arm.deployments.language.errors import ExpressionError
from podpass.lab.arm.deployments.parameters import check_output, is_secure, output_type
from podpass.lab.arm.deployments.program import Program
from podpass.lab.arm.errors import ArmError

_CODE = "DeploymentOutputEvaluationFailed"


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of a deployment."""

    shown: dict[str, Any] = field(default_factory=dict)
    """As a deployment shows them, with their types; of a secure one only the type."""
    values: dict[str, Any] = field(default_factory=dict, repr=False)
    """All of them, for the deployment around it."""

    @property
    def secure(self) -> bool:
        return any(is_secure(one["type"]) for one in self.shown.values())


def evaluated(program: Program, runtime: Runtime) -> tuple[Outputs, list[Mapping[str, Any]]]:
    """The outputs, and what is wrong with those that can't be evaluated."""
    outputs = Outputs()
    faults: list[Mapping[str, Any]] = []
    for name, written in program.template.outputs.items():
        try:
            if program.value(written.get("condition"), runtime=runtime) is False:
                continue
            kind = output_type(program.template, written)
            value = _value(program, written, runtime)
            check_output(program.template, name, written, value)
        except ExpressionError as error:
            message = f"The template output '{name}' is not valid: {error}."
            faults.append({"code": _CODE, "target": name, "message": message})
        except ArmError as error:
            faults.append({"target": name, **error.to_dict()["error"]})
        else:
            outputs.shown[name] = {"type": kind} if is_secure(kind) else {"type": kind, "value": value}
            outputs.values[name] = value
    return outputs, faults


def _value(program: Program, written: Mapping[str, Any], runtime: Runtime) -> Any:
    copy = written.get("copy")
    if not isinstance(copy, Mapping):
        return program.value(written.get("value"), runtime=runtime)
    count = program.count(copy, Loops(), "an output")
    # An output has one loop only, which copyIndex() means without a name.
    loops = (Loops().inside("", at, of_resource=True) for at in range(count))
    return [program.value(copy.get("input"), one, runtime) for one in loops]
