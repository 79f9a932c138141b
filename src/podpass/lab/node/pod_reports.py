"""What others hear of a pod while it runs: its events, and what the journal is told."""

from podpass.kube import objects
from podpass.kube.events import EventRecorder, EventType
from podpass.kube.objects import Obj
from podpass.lab.clock import rfc3339
from podpass.lab.journal import Hop, Journal, Outcome
from podpass.lab.node.pod_volumes import volume_of
from podpass.lab.node.token_refresh import ProjectedToken
from podpass.lab.node.volumes import TokenKey
from podpass.telemetry.redaction import fingerprint


class PodReports:
    """Speaks of *pod*, whose spec never changes in what is read here."""

    def __init__(self, pod: Obj, events: EventRecorder, journal: Journal) -> None:
        self._pod = pod
        self._events = events
        self._journal = journal

    def event(self, kind: EventType, reason: str, message: str, *, container: str = "") -> None:
        """An event of the pod, or of one of its containers."""
        involved: Obj = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": objects.name(self._pod),
            "namespace": objects.namespace(self._pod),
            "uid": objects.uid(self._pod),
        }
        if container:
            init = objects.spec(self._pod).get("initContainers") or ()
            member = "initContainers" if any(spec["name"] == container for spec in init) else "containers"
            involved["fieldPath"] = f"spec.{member}{{{container}}}"
        self._events.record(involved, kind, reason, message)

    def record(self, what: str, outcome: Outcome, *, why: str = "", **decision: object) -> None:
        """A hop of the journal, with the pod's name beside the decision."""
        place = {"pod": objects.name(self._pod), "namespace": objects.namespace(self._pod)}
        self._journal.record(
            Hop(who="kubelet", whom="node", what=what, outcome=outcome, why=why, decision={**place, **decision})
        )

    def token(self, key: TokenKey, token: ProjectedToken, again: bool) -> None:
        """That a token was written into a volume; *again* when it replaces one."""
        volume = volume_of(self._pod, key)
        self.record(
            f"{'refresh' if again else 'write'} token into volume {volume}",
            "done",
            why=f"{fingerprint(token.token)}, expires {rfc3339(token.expires_at)}",
            volume=volume,
            service_account=key.service_account,
            audience=key.audience,
            expires_at=rfc3339(token.expires_at),
            token=fingerprint(token.token),
        )
