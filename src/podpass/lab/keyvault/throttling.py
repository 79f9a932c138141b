"""How often a vault may be called: a number of calls in each ten seconds, by what they cost the service.

A call that is refused for it does not count.
Contract: secrets store, section 3.6.
"""

from podpass.lab.call_windows import CallWindows
from podpass.lab.keyvault.operations import CertificateOperation, KeyOperation, Operation, SecretOperation

USUAL_CALLS = 4_000
"""What the service allows of most calls."""
_CREATING = frozenset((KeyOperation.CREATE, KeyOperation.ROTATE, CertificateOperation.CREATE))
_SETTING = frozenset((SecretOperation.SET, KeyOperation.IMPORT, CertificateOperation.IMPORT))
_LIMITS = {"creating": 20, "setting": 300}
"""What the service allows of calls that make key pairs, and of those that bring values in."""


class Throttle:
    """Counts the calls on each vault."""

    def __init__(self) -> None:
        self._windows = CallWindows()

    def refuse(self, vault: str, operation: Operation, *, limit: float, now: float) -> int:
        """After how many whole seconds the call may be tried again; 0: it may be made, and is counted.

        *limit* is how many calls of one kind a vault takes in ten seconds; 0: as many as come.
        """
        kind = "creating" if operation in _CREATING else "setting" if operation in _SETTING else "other"
        return self._windows.refuse((vault, kind), min(limit, _LIMITS.get(kind, limit)), now=now)
