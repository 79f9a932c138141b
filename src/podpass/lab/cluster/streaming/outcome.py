"""How an exec or attach ended, as the client is told on the error channel.

Contract: Kubernetes API surface, section 1.6.
"""

from collections.abc import Sequence

from podpass.kube.objects import Obj
from podpass.kube.status import StatusError

SUCCESS: Obj = {"metadata": {}, "status": "Success"}


def exited(code: int | None, command: Sequence[str] = ()) -> Obj:
    """The status for a program's exit code; None is an end without one."""
    if not code:
        return SUCCESS
    ran = f"error executing command [{' '.join(command)}], exit code {code}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: {ran}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def not_executed(why: str, *, program: bool) -> Obj:
    """The status where no program was started. *program*: it is at fault itself."""
    words = (
        f"OCI runtime exec failed: exec failed: unable to start container process: {why}: unknown" if program else why
    )
    return failed(f"error executing command in container: failed to exec in container: {words}")


def failed(why: str) -> Obj:
    """The status where the node could not do what was asked."""
    return StatusError.internal(why).to_dict()
