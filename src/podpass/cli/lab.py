"""`podpass lab`: start, look at, steer and stop labs."""

import os
import shlex
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from podpass.cli import existing
from podpass.cli.journey import print_event
from podpass.cli.output import Format, note, print_table, print_value
from podpass.lab.control.client import Control
from podpass.lab.control.starting import delete, start, stop
from podpass.lab.environment import (
    ONLY_EXPLICIT,
    PROXY_VARIABLES,
    Endpoints,
    LabPaths,
    explicit_variables,
    host_variables,
    labs,
    state_home,
)
from podpass.problems import PodpassError

app = App(name="lab", help="The cluster and the cloud on this machine.")
app.command("podpass.cli.image:app", name="image", help="What runs for which image.")
app.command("podpass.cli.scenario:app", name="scenario", help="Scenario files: check one.")
app.command("podpass.cli.node:app", name="node", help="The nodes: add, switch off and on, take away.")

Name = Annotated[str, Parameter(name=["--name", "-n"], env_var="PODPASS_LAB", help="Which lab.")]
Output = Annotated[Format, Parameter(name=["--output", "-o"], help="table, json or yaml")]
Yes = Annotated[bool, Parameter(name="--yes", negative=(), help="Do it without asking.")]


def _paths(name: str) -> LabPaths:
    return LabPaths.of(name, home=state_home(os.environ))


@app.command
def up(
    *,
    name: Name = "default",
    scenario: Path | None = None,
    runtime: str = "auto",
    api_port: int = 0,
    proxy_port: int = 0,
    kubeconfig: Path | None = None,
    context: str = "",
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    nodes: int = 0,
    output: Output = "table",
) -> int:
    """Start a lab and return when it is ready. A lab that was stopped or killed goes on where it was.

    Example: podpass lab up --scenario scenario.yaml

    Example: podpass lab up --name kind --kubeconfig ~/.kube/config --context kind-kind

    Parameters
    ----------
    scenario:
        A YAML file of tenants, identities, trust, vaults and roles to create; see docs/reference/scenario.md.
    runtime:
        How pods run: sandbox (namespaces), plain (processes), or auto.
    api_port:
        The port of the Kubernetes API; 0 keeps the last one or takes a free one.
    proxy_port:
        The port of the forward proxy; 0 keeps the last one or takes a free one.
    kubeconfig:
        Use the cluster that this file leads to instead of an embedded one; it must be on this machine's loopback.
    context:
        Which context of that file; its current one by default.
    dry_run:
        Only list what the lab would do to that cluster.
    nodes:
        How many nodes the cluster has; 0 keeps those of last time, at first what the scenario says, or one.
    """
    paths = _paths(name)
    if dry_run:
        return existing.plan_up(paths, kubeconfig, context, output)
    status = start(
        paths,
        home=state_home(os.environ),
        scenario=scenario,
        runtime=runtime,
        api_port=api_port,
        proxy_port=proxy_port,
        kubeconfig=kubeconfig,
        context=context,
        nodes=nodes,
    )
    if output == "table":
        _print_status(status)
        argument = "" if name == "default" else f" --name {name}"
        note(
            f'\nNext: eval "$(podpass lab env{argument})"   then kubectl and the Azure SDKs of this shell use the lab.'
        )
    else:
        print_value(status, output)
    return 0


@app.command
def down(
    *,
    name: Name = "default",
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    output: Output = "table",
) -> int:
    """Stop a lab. Its state stays; `podpass lab up` goes on from it. What it put into an existing cluster goes.

    Example: podpass lab down

    Parameters
    ----------
    dry_run:
        Only list what would be taken away from an existing cluster.
    """
    paths = _paths(name)
    if dry_run:
        return existing.plan_down(paths, output)
    if not Control(paths).running() and existing.take_away(paths):
        # Its process was killed; what it left in the cluster is gone now.
        return 0
    stop(paths)
    note(f"lab {name} stopped")
    return 0


@app.command
def reset(*, name: Name = "default", yes: Yes = False) -> int:
    """Delete everything a lab keeps: cluster, clouds, keys, journal.

    Example: podpass lab reset --yes
    """
    paths = _paths(name)
    if not yes:
        note(f"This deletes everything in {paths.directory}. Say --yes to do it.")
        return 2
    if Control(paths).running():
        stop(paths)
    else:
        existing.forget(paths)
    delete(paths)
    note(f"lab {name} is gone")
    return 0


@app.command(name="list")
def list_labs(*, output: Output = "table") -> int:
    """List the labs of this user.

    Example: podpass lab list
    """
    found = []
    for paths in labs(state_home(os.environ)):
        running = Control(paths).running()
        found.append({"name": paths.name, "running": running, "directory": str(paths.directory)})
    if output == "table":
        rows = [[str(lab["name"]), "running" if lab["running"] else "stopped", str(lab["directory"])] for lab in found]
        print_table(rows, heads=("NAME", "STATE", "DIRECTORY"))
    else:
        print_value(found, output)
    return 0


@app.command
def status(*, name: Name = "default", output: Output = "table") -> int:
    """Show where a lab answers, how it runs pods, and what that cannot show.

    Example: podpass lab status --output json
    """
    found = Control(_paths(name)).status()
    if output == "table":
        _print_status(found)
    else:
        print_value(found, output)
    return 0


def _print_status(status: dict[str, Any]) -> None:
    endpoints = status["endpoints"]
    lines = {
        "lab": f"{status['name']} (process {status['pid']})",
        "kubernetes": endpoints["api"] + _which(status["cluster"]),
        "proxy": endpoints["proxy"],
        "issuer": endpoints["issuer"],
        "tenant": endpoints["tenant_id"],
        "subscription": endpoints["subscription_id"],
        "pods run in": f"{status['runtime']['name']}: {status['runtime']['why']}",
        "ready after": f"{status['ready_seconds']:.2f} s",
        "state": status["directory"],
    }
    if status["clock"]["offset_seconds"]:
        lines["clock"] = f"{timedelta(seconds=status['clock']['offset_seconds'])} ahead of real time"
    if status["cluster"]["kind"] == "existing":
        lines["webhook"] = status["cluster"]["webhook"]
    on = {fault: value for fault, value in status["faults"].items() if value}
    if on:
        lines["faults"] = ", ".join(f"{fault}={value}" for fault, value in on.items())
    print_value(lines, "table")
    if status["clusters"]:
        rows = [
            [cluster["name"], cluster["doing"] or cluster["state"], cluster["server"] or "-", cluster["issuer"]]
            for cluster in status["clusters"]
        ]
        print_table(rows, heads=("CLUSTER", "STATE", "SERVER", "ISSUER"))
    if status["caches"]:
        rows = [[cache["host"], *(_at(cache, port) for port in ("port", "ssl_port"))] for cache in status["caches"]]
        print_table(rows, heads=("CACHE", "ON THIS MACHINE", "WITH TLS"))
    for remark in status["notes"]:
        note(f"note: {remark}")


def _at(cache: dict[str, Any], port: str) -> str:
    return f"{cache['address']}:{cache[port]}" if port in cache else "-"


def _which(cluster: dict[str, Any]) -> str:
    if cluster["kind"] == "embedded":
        return ""
    return f" {cluster['version']}, the context {cluster['context']} of {cluster['kubeconfig']}"


@app.command
def env(*, door: Literal["forward", "explicit"] = "forward", name: Name = "default", output: Output = "table") -> int:
    """Print the variables that point this shell's kubectl, az and Azure SDKs at a lab.

    Example: eval "$(podpass lab env)"

    Example: eval "$(podpass lab env --door explicit)"

    Parameters
    ----------
    door:
        forward: a proxy leads programs to the lab under Azure's own names. explicit: they are told that the cloud is
        on this machine, and no proxy is set.
    """
    paths = _paths(name)
    endpoints = Endpoints(**Control(paths).status()["endpoints"])
    explicit = door == "explicit"
    variables = explicit_variables(endpoints, paths) if explicit else host_variables(endpoints, paths)
    # A shell that used the other door before keeps none of its settings.
    dropped = PROXY_VARIABLES if explicit else ONLY_EXPLICIT
    if output == "table":
        print(f"unset {' '.join(dropped)}")
        for variable, value in variables.items():
            print(f"export {variable}={shlex.quote(value)}")
    else:
        print_value(variables, output)
    return 0


@app.command
def export(
    *,
    name: Name = "default",
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    with_secret_values: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Write what is in a lab's clouds as a scenario file that recreates it.

    Values of secrets are left out, and so made anew; the file's comments say what else it can't hold.

    Example: podpass lab export --output scenario.yaml

    Parameters
    ----------
    output:
        The file to write, readable for you alone; printed when absent.
    with_secret_values:
        Write the values of the vaults' secrets too, which needs --output.
    """
    if with_secret_values and output is None:
        raise PodpassError("PP505", "no file to write to")
    text = Control(_paths(name)).export(with_secret_values=with_secret_values)
    if output is None:
        print(text, end="")
        return 0
    from podpass.lab.private_files import replace_file

    try:
        replace_file(output, text.encode())
    except OSError as error:
        raise PodpassError("PP506", path=output, reason=error.strerror) from error
    note(f"{output} written")
    return 0


@app.command
def kubeconfig(
    user: str = "",
    /,
    *,
    group: Annotated[list[str], Parameter(negative=(), consume_multiple=False)] = [],  # noqa: B006 - only read
    cluster: str = "",
    name: Name = "default",
) -> int:
    """Print a kubeconfig for a lab's cluster: an administrator's, or one with which somebody else uses it.

    What somebody else may, you say by roles and bindings.

    Example: podpass lab kubeconfig jane --group developers > jane.kubeconfig

    Example: podpass lab kubeconfig --cluster shop-aks > shop.kubeconfig

    Parameters
    ----------
    user:
        Their user name, which their client certificate holds for a year; without it the file is an administrator's.
    group:
        A group they are in; may be given several times.
    cluster:
        Which managed cluster: its name, resource id or guid. The lab's own by default.
    """
    found = Control(_paths(name)).kubeconfig(cluster)
    text = found["kubeconfig"]
    if user:
        if not found["authority"]:
            why = "The cluster is not the lab's own: whoever runs it gives its people their certificates"
            raise PodpassError("PP110", f"no kubeconfig for {user}", reason=why, name=name)
        # Imported here: cryptography takes longer than most commands.
        from podpass.lab.certificates import CertificateAuthority
        from podpass.lab.user_kubeconfig import user_kubeconfig

        try:
            text = user_kubeconfig(text, CertificateAuthority.open(Path(found["authority"])), user, group)
        except ValueError as error:
            raise PodpassError("PP110", f"no kubeconfig for {user}", reason=str(error), name=name) from error
    print(text, end="")
    return 0


@app.command
def identity(identity_name: str = "", /, *, name: Name = "default", output: Output = "table") -> int:
    """Print a managed identity's client id, or list all of the lab's identities.

    Example: kubectl annotate serviceaccount orders azure.workload.identity/client-id=$(podpass lab identity orders)

    Parameters
    ----------
    identity_name:
        The identity's name. Without it all identities are listed.
    """
    found = Control(_paths(name)).status()["identities"]
    if not identity_name:
        if output == "table":
            rows = [[entry["name"], entry["client_id"], entry["principal_id"]] for entry in found]
            print_table(rows, heads=("NAME", "CLIENT ID", "PRINCIPAL ID"))
        else:
            print_value(found, output)
        return 0
    named = [entry for entry in found if entry["name"] == identity_name]
    if len(named) != 1:
        have = ", ".join(sorted(entry["name"] for entry in found)) or "none"
        raise PodpassError("PP111", f"there is no one identity {identity_name}", identity=identity_name, have=have)
    print_value(named[0]["client_id"] if output == "table" else named[0], output)
    return 0


@app.command
def journal(
    *,
    name: Name = "default",
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative=())] = False,
    trace: str = "",
    tail: int = 200,
    output: Output = "table",
) -> int:
    """Show who asked whom for what, how it ended, and which rule decided.

    Example: podpass lab journal --follow

    Parameters
    ----------
    follow:
        Go on showing events as they happen.
    trace:
        Only the events of this trace.
    tail:
        At most this many of the newest events.
    """
    control = Control(_paths(name))
    newest = control.status()["journal"]["newest"]
    events = control.journal(after=0 if trace else max(0, newest - tail), trace=trace, limit=max(tail, 1))
    if output != "table" and not follow:
        print_value(events, output)
        return 0
    shown = ""
    for event in events:
        shown = _print_one(event, output, shown)
    if follow:
        for event in control.follow(after=events[-1]["number"] if events else newest):
            if not trace or event["trace"] == trace:
                shown = _print_one(event, output, shown)
    return 0


def _print_one(event: dict[str, Any], output: Format, shown_trace: str) -> str:
    if output == "table":
        print_event(event, new_trace=event["trace"] != shown_trace)
    elif output == "json":
        import json

        print(json.dumps(event), flush=True)
    else:
        print("---")
        print_value(event, output)
    return str(event["trace"])


@app.command
def advance(duration: str, /, *, name: Name = "default") -> int:
    """Move the lab's clock forward. Programs in pods keep real time; tokens and credentials age.

    Example: podpass lab advance 25h

    Parameters
    ----------
    duration:
        A number followed by s, m, h or d.
    """
    units = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
    number, unit = duration[:-1], duration[-1:]
    if unit not in units or not number.isdecimal() or len(number) > 12:
        raise PodpassError(
            "PP110", f"{duration!r} is not a duration", reason="A duration is 90s, 10m, 25h or 2d", name=name
        )
    clock = Control(_paths(name)).advance(int(number) * units[unit])
    print(f"{clock['now']}   {timedelta(seconds=clock['offset_seconds'])} ahead of real time")
    return 0


@app.command
def keys(
    *,
    name: Name = "default",
    rotate: Annotated[bool, Parameter(negative=())] = False,
    withdraw: Annotated[bool, Parameter(negative=())] = False,
    output: Output = "table",
) -> int:
    """Show the keys that sign the access tokens of the lab's Entra, or rotate them.

    Example: podpass lab keys --rotate

    Parameters
    ----------
    rotate:
        Sign with the next key from now on; the one before stays until the last of its tokens has expired.
    withdraw:
        Rotate, and let the keys before go at once: every token that they signed is refused.
    """
    control = Control(_paths(name))
    found = control.rotate_signing_keys(withdraw=withdraw) if rotate or withdraw else control.signing_keys()
    if output == "table":
        rows = [[key["kid"], key["state"], key.get("until", "")] for key in found]
        print_table(rows, heads=("KEY", "STATE", "UNTIL"))
    else:
        print_value(found, output)
    return 0


@app.command
def revoke(identity_name: str, /, *, name: Name = "default", output: Output = "table") -> int:
    """Revoke the access tokens that an identity has now, as continuous access evaluation does.

    Resource Manager, Key Vault and Graph challenge clients that can answer for a newer token; the tokens of others
    are good until they expire.

    Example: podpass lab revoke orders

    Parameters
    ----------
    identity_name:
        A managed identity or an application: its name, client id or object id.
    """
    found = Control(_paths(name)).revoke_tokens(identity_name)
    if output == "table":
        print(f"{found['name']}: tokens issued before {found['since']} are refused where the client can get another")
    else:
        print_value(found, output)
    return 0


@app.command
def fault(
    *,
    name: Name = "default",
    issuer_unreachable: bool | None = None,
    propagation_delay_seconds: float | None = None,
    negative_cache_seconds: float | None = None,
    authority_unavailable: bool | None = None,
    tokens_per_10_seconds: float | None = None,
    cluster_skew_seconds: float | None = None,
    metadata_limited: bool | None = None,
    vault_calls_per_10_seconds: float | None = None,
    clear: Annotated[bool, Parameter(negative=())] = False,
    output: Output = "table",
) -> int:
    """Set faults on purpose, or clear all of them. Without a flag: show which are on.

    Example: podpass lab fault --issuer-unreachable

    Parameters
    ----------
    issuer_unreachable:
        The cluster's issuer answers nobody.
    propagation_delay_seconds:
        How long a changed federated credential stays unseen at the token endpoint.
    negative_cache_seconds:
        How long the token endpoint goes on answering that there is no such credential, once it has said so.
    authority_unavailable:
        Entra's token endpoint answers 503 to everybody.
    tokens_per_10_seconds:
        How many token requests Entra answers a tenant before it answers 429; 0: as many as come.
    cluster_skew_seconds:
        How far the cluster's clock is ahead of the clouds' (negative: behind).
    metadata_limited:
        The metadata service keeps its limits: 20 token requests a second, 5 of all others.
    vault_calls_per_10_seconds:
        How many calls each vault takes before it answers 429; 0: as many as come. Azure's own limit is 4000.
    clear:
        Turn every fault off.
    """
    switches = ("issuer_unreachable", "authority_unavailable", "metadata_limited")
    control = Control(_paths(name))
    given: dict[str, Any] = {
        "issuer_unreachable": issuer_unreachable,
        "propagation_delay_seconds": propagation_delay_seconds,
        "negative_cache_seconds": negative_cache_seconds,
        "authority_unavailable": authority_unavailable,
        "tokens_per_10_seconds": tokens_per_10_seconds,
        "cluster_skew_seconds": cluster_skew_seconds,
        "metadata_limited": metadata_limited,
        "vault_calls_per_10_seconds": vault_calls_per_10_seconds,
    }
    change = {fault: value for fault, value in given.items() if value is not None}
    if clear:
        change = {**{fault: False if fault in switches else 0 for fault in given}, **change}
    print_value(control.set_faults(change), output)
    return 0
