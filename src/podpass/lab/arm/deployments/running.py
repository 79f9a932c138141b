"""A deployment on its way: what can be begun is begun, what goes on is looked at, until all has ended.

Every turn starts from what is stored, so a lab that was stopped in the middle goes on where it was. What is already
made is found among the deployment's operations; a write whose end was not noted is made once more, with the same
result.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from podpass.azure.resourceids import GROUP_TYPE
from podpass.lab.arm.deployments import errors
from podpass.lab.arm.deployments.outputs import evaluated
from podpass.lab.arm.deployments.preparing import Plan
from podpass.lab.arm.deployments.records import Record, Records, Step
from podpass.lab.arm.deployments.rehearsal import together
from podpass.lab.arm.deployments.resources import Planned
from podpass.lab.arm.deployments.state import State
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate, parsed_id
from podpass.lab.arm.performing import perform
from podpass.lab.journal import Outcome

LEAST_SECONDS = 1.0
"""How long a deployment takes at least, in the lab's time, so that its states can be seen."""
MOST_AT_ONCE = 40
"""Writes in one turn; other requests are answered in between."""
_LAST = 999_999
"""Evaluating the outputs is the last operation of all."""
_DELETES_VERSION = "2024-11-01"

Told = Callable[[Record, str, Outcome, str, str], None]
"""Told of a write: the deployment, method and resource, the outcome, the reason, the wire error's code."""


@dataclass(frozen=True, slots=True)
class Live:
    """A deployment with its plan, which holds the secure values and lives only as long as this process."""

    key: str
    whole: Plan


class Run:
    """One turn of a deployment."""

    def __init__(
        self,
        estate: Estate,
        records: Records,
        live: Live,
        told: Told,
        *,
        literal: set[str],
        gave: dict[str, Mapping[str, Any]],
    ) -> None:
        self._estate, self._records, self._live, self._told = estate, records, live, told
        self._literal, self._gave = literal, gave

    def turn(self, record: Record) -> Record:
        """Do what can be done now; the record as it is then."""
        now = self._estate.clock.now()
        if record.state == "Accepted":
            record = self._kept(replace(record, state="Running"))
        steps = {step.resource.lower(): step for step in self._records.steps(record) if step.operation == "Create"}
        for key, step in steps.items():
            if step.state == "Running":
                steps[key] = self._looked_at(record, step)
        more = self._begun(record, steps)
        least = 0.0 if record.nested else LEAST_SECONDS
        if more or any(step.state == "Running" for step in steps.values()) or now < record.began + least:
            return record
        return self._ended(record, steps)

    # Writes

    def _begun(self, record: Record, steps: dict[str, Step]) -> bool:
        """Begin what waits for nothing any more. Whether there is more to begin in a later turn."""
        whole, count = self._live.whole, 0
        while True:
            done = {key for key, step in steps.items() if step.state == "Succeeded"}
            ready = [one for one in whole.deployed if one.key not in steps and whole.waits[one.key] <= done]
            if not ready:
                return False
            beside: set[str] = set()
            for planned in together(whole, ready):
                if count >= MOST_AT_ONCE:
                    return True
                count += 1
                steps[planned.key] = self._write(record, planned, len(steps), beside)

    def _write(self, record: Record, planned: Planned, number: int, beside: set[str]) -> Step:
        """Make the resource. *beside*: under what something is being written in the same moment."""
        step = Step(
            number=number,
            operation_id=secrets.token_hex(8).upper(),
            operation="Create",
            state="Running",
            began=self._estate.clock.now(),
            resource=planned.id,
            resource_type=planned.type,
            resource_name=planned.name,
            api_version=planned.api_version,
            symbol=planned.symbol,
        )
        try:
            self._take_turn(planned, beside)
            body = self._live.whole.body(planned, State(self._estate, record.principal, self._live.whole.names))
            if planned.nested and not planned.inner:
                self._literal.add(planned.key)
            answer = perform(
                self._estate, "PUT", planned.id, body, api_version=planned.api_version, principal=record.principal
            )
        except ArmError as error:
            self._told(record, f"PUT {planned.id}", "refused", error.message, error.code)
            return self._failed(record, step, error.to_dict()["error"], error.status)
        self._told(record, f"PUT {planned.id}", "done", "", "")
        step = replace(step, status=_status_name(answer.status))
        self._records.put_step(record, step)
        return self._judged(record, step, answer.body)

    def _take_turn(self, planned: Planned, beside: set[str]) -> None:
        """Raises ArmError for a write that has to be made alone and is not."""
        kind = self._estate.kind(planned.type)
        if kind is None or kind.writes_alone is None:
            return
        wanted = parsed_id(planned.id)
        refusal = kind.writes_alone(wanted)
        if refusal is not None and wanted.parent.key in beside:
            raise refusal
        beside.add(wanted.parent.key)

    def _looked_at(self, record: Record, step: Step) -> Step:
        try:
            answer = perform(
                self._estate,
                "GET",
                step.resource,
                api_version=step.api_version,
                principal=record.principal,
                authorised=False,
            )
        except ArmError as error:
            return self._failed(record, step, error.to_dict()["error"], error.status)
        return self._judged(record, step, answer.body)

    def _judged(self, record: Record, step: Step, document: Any) -> Step:
        """The step after a look at its resource: still going on, succeeded or failed."""
        properties = document.get("properties") if isinstance(document, Mapping) else None
        state = str((properties or {}).get("provisioningState", "Succeeded"))
        match state.lower():
            case "succeeded":
                step = replace(step, state="Succeeded", ended=self._estate.clock.now())
                self._records.put_step(record, step)
                return step
            case "failed" | "canceled":
                return self._failed(record, step, self._why(step, state, properties or {}), HTTPStatus.CONFLICT)
        return step

    def _why(self, step: Step, state: str, properties: Mapping[str, Any]) -> Mapping[str, Any]:
        own = properties.get("error")
        if isinstance(own, Mapping):
            return own
        found = self._estate.get(parsed_id(step.resource))
        return errors.ended_badly(step.resource, state, [found.failure] if found and found.failure else [])

    def _failed(self, record: Record, step: Step, error: Mapping[str, Any], status: int) -> Step:
        step = replace(step, state="Failed", ended=self._estate.clock.now(), status=_status_name(status), error=error)
        self._records.put_step(record, step)
        return step

    # The end

    def _ended(self, record: Record, steps: Mapping[str, Step]) -> Record:
        failures = [step.error for step in steps.values() if step.error is not None]
        if failures:
            return self._finished(record, error=errors.failed(record.id, failures))
        if record.mode == "Complete" and (refused := self._cleaned(record)) is not None:
            return record if not refused else self._finished(record, error=errors.failed(record.id, refused))
        state = State(self._estate, record.principal, self._live.whole.names)
        began = self._estate.clock.now()
        outputs, faults = evaluated(self._live.whole.program, state)
        if faults:
            return self._finished(record, error=errors.outputs_failed(faults))
        self._records.put_step(
            record,
            Step(
                number=_LAST,
                operation_id=secrets.token_hex(8).upper(),
                operation="EvaluateDeploymentOutput",
                state="Succeeded",
                began=began,
                ended=self._estate.clock.now(),
            ),
        )
        deployed = tuple(step.resource for step in steps.values())
        if outputs.secure:
            self._gave[record.key] = outputs.values
        ended = self._estate.clock.now()
        return self._kept(replace(record, state="Succeeded", ended=ended, outputs=outputs.shown, resources=deployed))

    def _cleaned(self, record: Record) -> list[Mapping[str, Any]] | None:
        """Delete what the group has and the template has not; None when nothing is left to delete.

        An empty list: some of it is still on its way out. Otherwise: why some could not be deleted.
        """
        group = parsed_id(record.scope)
        kept = {one.key for one in self._live.whole.deployed}
        surplus = [
            one
            for one in self._estate.below(group)
            if one.type != GROUP_TYPE and one.type.count("/") == 1 and one.id.lower() not in kept
        ]
        refused: list[Mapping[str, Any]] = []
        for one in surplus:
            if one.busy == "Deleting":
                continue
            try:
                perform(self._estate, "DELETE", one.id, api_version=_DELETES_VERSION, principal=record.principal)
            except ArmError as error:
                refused.append({"target": one.id, **error.to_dict()["error"]})
                self._told(record, f"DELETE {one.id}", "refused", error.message, error.code)
            else:
                self._told(record, f"DELETE {one.id}", "done", "", "")
        if refused:
            return refused
        return [] if any(self._estate.get(parsed_id(one.id)) for one in surplus) else None

    def _finished(self, record: Record, *, error: Mapping[str, Any]) -> Record:
        return self._kept(replace(record, state="Failed", ended=self._estate.clock.now(), error=error))

    def _kept(self, record: Record) -> Record:
        self._records.put(record)
        return record


def interrupted(record: Record, now: float) -> Record:
    """A deployment that can't be gone on with after a restart."""
    error = errors.failed(
        record.id,
        [
            {
                "code": "DeploymentInterrupted",
                "message": "The lab was stopped while this deployment ran, and its secure parameters are kept nowhere. "
                "Deploy it again.",
            }
        ],
    )
    return replace(record, state="Failed", ended=now, error=error)


def _status_name(status: int) -> str:
    """`Created` for 201: how operations name their status."""
    try:
        return HTTPStatus(status).phrase.replace(" ", "") if status != HTTPStatus.OK else "OK"
    except ValueError:
        return str(status)
