"""The deployments of every scope: taken on, tried out, brought along, called off, forgotten."""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from podpass.azure.resourceids import ResourceId
from podpass.lab.arm.deployments import errors, requests
from podpass.lab.arm.deployments.language.errors import ExpressionError
from podpass.lab.arm.deployments.parameters import Parameters
from podpass.lab.arm.deployments.places import DEPLOYMENTS
from podpass.lab.arm.deployments.preparing import Plan, plan, shown_members, template_hash
from podpass.lab.arm.deployments.records import Record, Records, duration
from podpass.lab.arm.deployments.rehearsal import Tried, check, rehearse, taken_back
from podpass.lab.arm.deployments.requests import Wanted
from podpass.lab.arm.deployments.running import Live, Run, interrupted
from podpass.lab.arm.deployments.vault_references import is_reference, read_references
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.model import Call, timestamp
from podpass.lab.arm.performing import Principal
from podpass.lab.arm.principals import described
from podpass.lab.journal import Hop, Journal, Outcome

_EXPIRES_AFTER_SECONDS = 7 * 86_400.0
_TURN_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Prepared:
    """A deployment that could begin."""

    wanted: Wanted
    whole: Plan
    parameters: Parameters
    principal: Principal
    tracking: str


class Deployments:
    """Deployments over an estate. Methods that take a call raise ArmError."""

    def __init__(self, estate: Estate, journal: Journal) -> None:
        self._estate, self._journal = estate, journal
        self.records = Records(estate.store)
        self._live: dict[str, Live] = {}
        self._literal: set[str] = set()
        """Keys of deployments that are about to be made with a template that another one evaluated."""
        self._gave: dict[str, Mapping[str, Any]] = {}
        """All outputs of deployments that have secure ones, by their keys; they live as long as this process."""
        self._within = 0
        self._active = any(True for _ in self.records.active())
        self._woken = asyncio.Event()
        estate.settlers.append(self.settle)
        estate.removal_listeners.append(self._scope_removed)

    # Calls

    def accept(self, call: Call) -> tuple[Record, bool]:
        """Take a deployment on; the second value says whether there was none of its name."""
        present = self.records.get(str(call.address.id))
        if present is not None and present.active:
            began, expires = timestamp(present.began), timestamp(present.began + _EXPIRES_AFTER_SECONDS)
            raise errors.still_active(present.name, began, expires)
        prepared = self._prepared(call)
        wanted, whole, now = prepared.wanted, prepared.whole, self._estate.clock.now()
        if present is not None and present.location != wanted.location:
            raise errors.other_location(present.name, wanted.location, present.location)
        check(self._estate, whole, prepared.principal, wanted, prepared.tracking)
        scope = whole.program.place.scope
        deployment = f"{scope}/providers/{DEPLOYMENTS}/{wanted.id.name}"
        literal = deployment.lower() in self._literal
        self._literal.discard(deployment.lower())
        secure = prepared.parameters.secure
        record = Record(
            id=deployment,
            name=wanted.id.name,
            scope=scope,
            location=wanted.location,
            tags=wanted.tags,
            mode=wanted.mode,
            state="Accepted",
            began=now,
            correlation_id=prepared.tracking,
            status_id=uuid.uuid4().hex,
            actor=call.actor.id,
            actor_kind=call.actor.kind,
            client_id=call.client_id,
            object_id=call.principal_id,
            tenant_id=call.tenant_id,
            parameter_values={name: value for name, value in prepared.parameters.values.items() if name not in secure},
            parameter_types=prepared.parameters.types,
            own=not literal and not secure,
            nested=self._within > 0,
            template_hash=template_hash(wanted.template),
            members=shown_members(whole, wanted),
        )
        self.records.begin(record, {} if literal else wanted.template)
        self._gave.pop(record.key, None)
        self._live[record.key] = Live(record.key, whole)
        self._active = True
        self._woken.set()
        return record, present is None

    def validate(self, call: Call, wanted: ResourceId) -> dict[str, Any]:
        """What a deployment would be, when nothing is wrong with it."""
        prepared = self._prepared(call, wanted)
        check(self._estate, prepared.whole, prepared.principal, prepared.wanted, prepared.tracking)
        whole = prepared.whole
        return {
            "id": f"{whole.program.place.scope}/providers/{DEPLOYMENTS}/{wanted.name}",
            "name": wanted.name,
            "type": DEPLOYMENTS,
            "properties": {
                "templateHash": template_hash(prepared.wanted.template),
                "parameters": prepared.parameters.shown(),
                "mode": prepared.wanted.mode,
                "provisioningState": "Succeeded",
                "timestamp": timestamp(self._estate.clock.now()),
                "duration": duration(0),
                "correlationId": prepared.tracking,
                **shown_members(whole, prepared.wanted),
                "validatedResources": [{"id": one.id} for one in whole.deployed],
            },
        }

    def tried(self, call: Call, wanted: ResourceId) -> tuple[Prepared, list[Tried]]:
        """A deployment, and what each of its resources would become. Nothing of it is kept."""
        prepared = self._prepared(call, wanted)
        check(self._estate, prepared.whole, prepared.principal, prepared.wanted, prepared.tracking)
        with taken_back(self._estate.store):
            found = rehearse(self._estate, prepared.whole, prepared.principal, str(wanted))
        return prepared, found

    def cancel(self, record: Record) -> None:
        """Begin nothing more of a deployment. What was made stays."""
        if not record.active:
            raise errors.not_cancellable(record.name, record.state)
        with self._estate.store.transaction():
            for step in self.records.steps(record):
                inner = self.records.get(step.resource) if step.state == "Running" else None
                if inner is not None and inner.active:
                    self.cancel(inner)
                if step.state == "Running":
                    self.records.put_step(record, replace(step, state="Canceled", ended=self._estate.clock.now()))
            error = {"code": "DeploymentCanceled", "message": f"The deployment '{record.name}' was canceled."}
            self.records.put(replace(record, state="Canceled", ended=self._estate.clock.now(), error=error))
        self._live.pop(record.key, None)

    def outputs(self, record: Record) -> Mapping[str, Any]:
        """The values of all outputs, secure ones too."""
        values = {name: one.get("value") for name, one in (record.outputs or {}).items()}
        if any("value" not in one for one in (record.outputs or {}).values()):
            if record.key not in self._gave:
                raise errors.outputs_not_kept(record.name)
            return self._gave[record.key]
        return values

    def require(self, deployment: ResourceId) -> Record:
        record = self.records.get(str(deployment))
        if record is None:
            if deployment.group:
                self._estate.require(deployment.group_id)
            raise errors.not_found(deployment.name)
        return record

    def _prepared(self, call: Call, wanted_id: ResourceId | None = None) -> Prepared:
        principal = Principal.of(call)
        wanted = requests.read(wanted_id or call.address.id, call.body)
        given = read_references(self._estate, wanted.parameters, principal)
        whole = plan(self._estate, wanted, principal, given=given)
        referring = {name.lower() for name, value in wanted.parameters.items() if is_reference(value)}
        types = {
            name: "SecureString" if name.lower() in referring else kind
            for name, kind in whole.program.parameters.types.items()
        }
        parameters = Parameters(whole.program.parameters.values, types)
        return Prepared(wanted, whole, parameters, principal, str(uuid.uuid4()))

    # Time

    def settle(self) -> None:
        """Bring every deployment that goes on up to now."""
        if not self._active or self._within:
            return
        going, before = self._each_turned(), set[str]()
        # One that ended may let the one around it end as well, and one that began may have begun others.
        while going != before:
            going, before = self._each_turned(), going
        self._active = bool(going)

    def _each_turned(self) -> set[str]:
        """Give each deployment that goes on a turn; the keys of those that still do, or only began in it."""
        for record in list(self.records.active()):
            self._turned(record)
        going = {record.key for record in self.records.active()}
        self._live = {key: live for key, live in self._live.items() if key in going}
        return going

    async def run(self) -> None:
        """Bring deployments along while nobody asks, until cancelled."""
        while True:
            self._estate.settle()
            if self._active:
                await asyncio.sleep(_TURN_SECONDS)
            else:
                self._woken.clear()
                await self._woken.wait()

    def _turned(self, record: Record) -> Record:
        self._within += 1
        try:
            live = self._live_of(record)
            if live is None:
                record = interrupted(record, self._estate.clock.now())
            else:
                run = Run(self._estate, self.records, live, self._tell, literal=self._literal, gave=self._gave)
                return run.turn(record)
        except (ArmError, ExpressionError, RecursionError) as error:
            own = {"code": "InvalidTemplate", "message": str(error)}
            failure = errors.failed(record.id, [error.to_dict()["error"] if isinstance(error, ArmError) else own])
            record = replace(record, state="Failed", ended=self._estate.clock.now(), error=failure)
        finally:
            self._within -= 1
        self.records.put(record)
        return record

    def _live_of(self, record: Record) -> Live | None:
        """The plan of a deployment, made anew when the lab was started since; None when it can't be."""
        live = self._live.get(record.key)
        if live is None and record.own:
            wanted = Wanted(
                id=_id_of(record),
                template=self.records.template(record),
                parameters={},
                mode=record.mode,
                location=record.location,
                tags=record.tags,
                debug=None,
            )
            resolved = Parameters(record.parameter_values, record.parameter_types)
            whole = plan(self._estate, wanted, record.principal, given={}, resolved=resolved, now=record.began)
            live = self._live[record.key] = Live(record.key, whole)
        return live

    def _scope_removed(self, key: str) -> None:
        self.records.forget_below(key)

    def _tell(self, record: Record, what: str, outcome: Outcome, why: str, wire: str) -> None:
        self._journal.record(
            Hop(
                who=described(self._estate.directory, record.principal),
                whom="arm",
                what=what,
                outcome=outcome,
                why=why,
                decision={"deployment": record.id, "correlation_id": record.correlation_id},
                wire=wire,
            )
        )


def _id_of(record: Record) -> ResourceId:
    return ResourceId.parse(record.id)
