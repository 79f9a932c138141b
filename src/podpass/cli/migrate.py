"""`podpass migrate`: from pod identity to workload identity. Nothing in the cluster is changed."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from podpass.azure.workload_identity import LONGEST_EXPIRATION_SECONDS, SHORTEST_EXPIRATION_SECONDS
from podpass.cli.cluster import read_cluster
from podpass.cli.output import DONE, Format, note, print_table, print_value, printable
from podpass.kube.objects import Obj
from podpass.migrate.estate import Estate
from podpass.migrate.files import Choices, service_account, trust_command, workload
from podpass.migrate.plan import Plan, plans
from podpass.problems import PodpassError
from podpass.settings import values

if TYPE_CHECKING:
    from podpass.kube.client import Client

app = App(name="migrate", help="From pod identity to workload identity.")


@app.command
def detect(
    *,
    from_: Annotated[list[str] | None, Parameter(name="--from", allow_leading_hyphen=True)] = None,
    namespace: Annotated[str, Parameter(name=["--namespace", "-n"])] = "default",
    all_namespaces: Annotated[bool, Parameter(name=["--all-namespaces", "-A"], negative=())] = False,
    kubeconfig: Path | None = None,
    context: str = "",
    output: Annotated[Format, Parameter(name=["--output", "-o"])] = "table",
    output_dir: Path | None = None,
    force: Annotated[bool, Parameter(negative=())] = False,
    without_proxy: Annotated[bool, Parameter(negative=())] = False,
    proxy_port: int = 8000,
    service_account_token_expiration: str = "1h",  # noqa: S107 - a time
    tenant_id: str = "",
    issuer: str = "",
) -> int:
    """Find the workloads that use pod identity, and what moving each takes.

    With --output-dir the manifests that move them are written, two for each, and what is to be done with them is said.

    Example: podpass migrate detect --all-namespaces

    Parameters
    ----------
    from_:
        A file or directory of manifests in place of a cluster, as often as wanted; - is standard input.
    namespace:
        The namespace to look at, and the one that manifests mean that name none.
    all_namespaces:
        Look at all namespaces.
    kubeconfig:
        The cluster; KUBECONFIG's by default.
    context:
        The context of that file; its current one by default.
    output_dir:
        Where to write the manifests; it is made.
    force:
        Write over files that are there.
    without_proxy:
        Add no proxy: the programs use an SDK that knows workload identity.
    proxy_port:
        Where the proxy listens.
    service_account_token_expiration:
        How long a token of the service account counts, from 1h to 24h.
    tenant_id:
        The identities' tenant, where it is not the webhook's own.
    issuer:
        Who issues the cluster's tokens; the cluster is asked by default.
    """
    choices = Choices(_expiration(service_account_token_expiration), tenant_id, None if without_proxy else proxy_port)
    if not 1 <= proxy_port <= 65_535:
        raise PodpassError("PP401", component="migrate", reason="--proxy-port: not a port", first="--proxy-port")
    if from_:
        from podpass.migrate.manifests import read as read_manifests

        found, known = read_manifests(from_, namespace=namespace), ""
    else:
        found, known = _live(kubeconfig, context, None if all_namespaces else namespace)
    estate = Estate.of(found)
    planned = plans(estate, namespaces=None if all_namespaces else [namespace], with_proxy=not without_proxy)
    commands = list(
        dict.fromkeys(trust_command(plan, issuer or known or "$ISSUER") for plan in planned if plan.can_move)
    )
    if output == "table":
        _print(planned, all_namespaces, namespace)
    else:
        print_value({"workloads": [_shown(plan) for plan in planned], "trust": commands}, output)
    if output_dir is not None:
        written = _write(planned, estate, choices, output_dir, force=force)
        _say_next(written, commands, known=bool(issuer or known))
    return DONE


def _live(kubeconfig: Path | None, context: str, namespace: str | None) -> tuple[list[Obj], str]:
    from podpass.migrate import client as reading

    async def read(client: "Client") -> tuple[list[Obj], str]:
        return await reading.read(client, namespace=namespace), await reading.issuer(client)

    return read_cluster(read, kubeconfig=kubeconfig, context=context, user_agent="podpass-migrate")


def _expiration(text: str) -> int:
    try:
        seconds = round(values.seconds(text))
    except ValueError:
        seconds = 0
    if not SHORTEST_EXPIRATION_SECONDS <= seconds <= LONGEST_EXPIRATION_SECONDS:
        option = "--service-account-token-expiration"
        reason = f"{option}: {text!r} is not a duration from 1h to 24h"
        raise PodpassError("PP401", component="migrate", reason=reason, first=option)
    return seconds


def _print(planned: Sequence[Plan], all_namespaces: bool, namespace: str) -> None:
    if not planned:
        note(f"no workload uses pod identity {'here' if all_namespaces else f'in namespace {namespace}'}")
        return
    heads = ("NAMESPACE", "WORKLOAD", "SELECTOR", "IDENTITY", "CLIENT ID", "SERVICE ACCOUNT", "MOVES")
    rows = []
    for plan in planned:
        kind, where, name = plan.key
        account = f"{plan.account} (new)" if plan.makes_account else plan.account
        moves = "yes" if plan.can_move else "no"
        rows.append(
            (
                where,
                f"{kind.lower()}/{name}",
                plan.selector,
                plan.identity or "-",
                plan.client_id or "-",
                account,
                moves,
            )
        )
    print_table([[printable(cell) for cell in row] for row in rows], heads=heads)
    for plan in planned:
        for why in (*plan.hindrances, *plan.notes):
            note(printable(f"{plan.key[1]} {plan.key[0].lower()}/{plan.key[2]}: {why}"))


def _shown(plan: Plan) -> dict[str, Any]:
    kind, namespace, name = plan.key
    members = asdict(plan)
    del members["key"]
    return {"kind": kind, "namespace": namespace, "name": name, **members, "can_move": plan.can_move}


def _write(planned: Sequence[Plan], estate: Estate, choices: Choices, directory: Path, *, force: bool) -> list[Path]:
    """Write the manifests of all that can move. Raises PodpassError PP506, before any is written over."""
    import yaml

    files: dict[Path, Obj] = {}
    moving = [plan for plan in planned if plan.can_move]
    several = len({plan.key[1] for plan in moving}) > 1
    names = [plan.key[1:] for plan in moving]
    for plan in moving:
        kind, namespace, name = plan.key
        place = directory / namespace if several else directory
        # Two workloads may be called alike, of two kinds.
        name = f"{name}-{kind.lower()}" if names.count((namespace, name)) > 1 else name
        files[place / f"{name}-serviceaccount.yaml"] = service_account(plan, estate, choices)
        files[place / f"{name}.yaml"] = workload(plan, estate, choices)
    there = [path for path in files if path.exists()]
    if there and not force:
        raise PodpassError("PP506", path=there[0], reason="it is there already; --force writes over it")
    for path, document in files.items():
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump(document, sort_keys=False))
        except OSError as error:
            raise PodpassError("PP506", path=path, reason=error.strerror or "it can't be written") from error
    return list(files)


def _say_next(written: Sequence[Path], commands: Sequence[str], *, known: bool) -> None:
    if not written:
        note("no file was written")
        return
    places = " ".join(f"-f {shlex.quote(str(place))}" for place in dict.fromkeys(path.parent for path in written))
    trust = "\n   ".join(commands)
    issuer = "" if known else " ($ISSUER is the cluster's OIDC issuer)"
    note(
        f"{len(written)} files were written. Next steps:\n"
        f"1. Install the webhook of workload identity, if the cluster has none.\n"
        f"2. Let each identity trust its service account{issuer}:\n   {trust}\n"
        f"3. Read the files, and apply them: kubectl apply {places}\n"
        f"4. When all pods get their tokens so, take the bindings away, and pod identity."
    )
