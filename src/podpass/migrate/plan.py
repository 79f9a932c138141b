"""What moving a workload to workload identity takes, and what hinders it. Pure.

Contract: pod identity, section 7.1 (1 and 3).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from podpass.kube import objects
from podpass.migrate.estate import Estate, Key, template_of
from podpass.migrate.workloads import User, users
from podpass.podidentity.exceptions import excepting
from podpass.podidentity.objects import Binding, IdentityType, PodIdentity

_SHARED = "the service account {} is used with several identities: give each its own"


@dataclass(frozen=True, slots=True)
class Plan:
    """One workload: the identity that its pods get, and the service account that is to have it."""

    key: Key
    selector: str
    identity: str = ""
    """The AzureIdentity, as namespace/name."""
    client_id: str = ""
    resource_id: str = ""
    account: str = ""
    makes_account: bool = False
    """The workload used none of its own, so one is made that is called like it."""
    hindrances: tuple[str, ...] = ()
    """Why no files can be written for it, or why they would not do."""
    notes: tuple[str, ...] = ()
    """What to look at besides."""

    @property
    def can_move(self) -> bool:
        return bool(self.client_id) and not self.hindrances


@dataclass(slots=True)
class _Drawn:
    hindrances: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plans(estate: Estate, *, namespaces: Sequence[str] | None = None, with_proxy: bool = True) -> list[Plan]:
    """A plan for each user of pod identity in *namespaces*, in all where that is None."""
    found = [
        _plan(estate, user, with_proxy=with_proxy)
        for user in users(estate)
        if namespaces is None or user.key[1] in namespaces
    ]
    return _sharing(found)


def _plan(estate: Estate, user: User, *, with_proxy: bool) -> Plan:
    kind, namespace, name = user.key
    drawn = _Drawn()
    identity = _identity(estate, user, drawn)
    template = template_of(estate.workloads[user.key])
    spec = objects.spec(template)
    if user.owner:
        drawn.hindrances.append(f"{user.owner} made it, and would undo the change: change what that is made of")
    if spec.get("hostNetwork") and with_proxy:
        drawn.hindrances.append("its pods have the node's network, where the proxy can't lead requests to itself")
    if (spec.get("nodeSelector") or {}).get("kubernetes.io/os") == "windows" or (spec.get("os") or {}).get("name") == (
        "windows"
    ):
        drawn.hindrances.append("the proxy is for Linux" if with_proxy else "pod identity never was for Windows")
    exception = excepting(namespace, objects.labels(template), estate.exceptions)
    if exception is not None:
        drawn.notes.append(f"the exception {exception.name} lets its pods ask the metadata service themselves")
    if kind in ("Pod", "Job"):
        drawn.notes.append(f"a {kind} can't be changed: delete it before the file is applied")
    account = str(spec.get("serviceAccountName") or spec.get("serviceAccount") or "default")
    makes_account = account == "default"
    if not makes_account and (namespace, account) not in estate.accounts:
        drawn.notes.append(f"the service account {account} was not found; the file makes it")
    usable = identity if identity is not None and not drawn.hindrances else None
    return Plan(
        user.key,
        user.selector,
        identity="/".join(identity.key) if identity is not None else "",
        client_id=usable.client_id if usable is not None else "",
        resource_id=identity.resource_id if identity is not None else "",
        account=name if makes_account else account,
        makes_account=makes_account,
        hindrances=tuple(drawn.hindrances),
        notes=tuple(drawn.notes),
    )


def _identity(estate: Estate, user: User, drawn: _Drawn) -> PodIdentity | None:
    """The identity that pods of *user* get when they name none."""
    namespace = user.key[1]
    matching = [each for each in estate.bindings if each.selector == user.selector and each.identity]
    own = [each for each in matching if each.namespace == namespace]
    if matching and not own:
        drawn.notes.append(f"its bindings are in {', '.join(sorted({each.namespace for each in matching}))}")
    found = [(each, estate.identities.get((each.namespace, each.identity))) for each in own or matching]
    if not found:
        drawn.hindrances.append(f"no AzureIdentityBinding selects {user.selector}")
        return None
    usable = [identity for _, identity in found if identity is not None]
    if not usable:
        drawn.hindrances.append(_missing(estate, found[0][0]))
        return None
    first, *others = usable
    if others:
        names = ", ".join("/".join(each.key) for each in others)
        drawn.notes.append(
            f"its pods have {names} too: name the client id in the program, and let each identity trust the account"
        )
    if first.type is not IdentityType.USER_ASSIGNED:
        drawn.hindrances.append(
            f"{'/'.join(first.key)} is a service principal: let that application trust the account, and give it up here"
        )
    return first


def _missing(estate: Estate, binding: Binding) -> str:
    key = (binding.namespace, binding.identity)
    if key in estate.unusable:
        return f"the AzureIdentity {'/'.join(key)} can't be used: {estate.unusable[key]}"
    return f"the AzureIdentity {'/'.join(key)} does not exist"


def _sharing(found: list[Plan]) -> list[Plan]:
    """*found* with a word to those that have an account in common, but not an identity: it can name one only."""
    by_account: dict[tuple[str, str], set[str]] = defaultdict(set)
    for plan in found:
        if plan.client_id:
            by_account[(plan.key[1], plan.account)].add(plan.client_id.lower())
    return [
        replace(plan, client_id="", hindrances=(*plan.hindrances, _SHARED.format(plan.account)))
        if plan.client_id and len(by_account[(plan.key[1], plan.account)]) > 1
        else plan
        for plan in found
    ]
