"""The variables that tell a container of its namespace's Services, as they are when it starts.

Contract: Kubernetes API surface, section 7.3; follows the kubelet of Kubernetes 1.37.
"""

from collections.abc import Iterable

from podpass.kube import objects
from podpass.kube.objects import Obj

API_SERVICE = ("default", "kubernetes")


def service_variables(services: Iterable[Obj]) -> dict[str, str]:
    """The variables of *services*; those without an address of their own have none.

    The API server's own Service is left out: where a container finds that is the runtime's to say.
    """
    variables: dict[str, str] = {}
    for service in services:
        if objects.key(service) != API_SERVICE:
            variables |= _of(service)
    return variables


def _of(service: Obj) -> dict[str, str]:
    spec = objects.spec(service)
    address, ports = spec.get("clusterIP"), spec.get("ports") or ()
    if not address or address == "None" or not ports:
        return {}
    name = _word(objects.name(service))
    variables = {
        f"{name}_SERVICE_HOST": address,
        f"{name}_SERVICE_PORT": str(ports[0]["port"]),
        f"{name}_PORT": _url(ports[0], address),
    }
    for port in ports:
        if port.get("name"):
            variables[f"{name}_SERVICE_PORT_{_word(port['name'])}"] = str(port["port"])
        protocol = port.get("protocol") or "TCP"
        link = f"{name}_PORT_{port['port']}_{protocol.upper()}"
        variables |= {
            link: _url(port, address),
            f"{link}_PROTO": protocol.lower(),
            f"{link}_PORT": str(port["port"]),
            f"{link}_ADDR": address,
        }
    return variables


def _url(port: Obj, address: str) -> str:
    return f"{(port.get('protocol') or 'TCP').lower()}://{address}:{port['port']}"


def _word(name: str) -> str:
    return name.upper().replace("-", "_")
