"""`podpass token`: decode and explain tokens. A signature is never printed."""

import asyncio
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from podpass.cli.output import Format, print_value, printable, styled
from podpass.problems import PodpassError
from podpass.tokens import jwt
from podpass.tokens.inspection import Inspection, Verdict, explain, verify

app = App(name="token", help="Explain tokens.")

MAX_BYTES = 256 * 1024


@app.command
def inspect(
    file: Annotated[str, Parameter(allow_leading_hyphen=True)] = "-",
    /,
    *,
    verify_against: Annotated[str, Parameter(name="--verify")] = "",
    output: Annotated[Format, Parameter(name=["--output", "-o"])] = "table",
) -> int:
    """Say what a token is, what each claim means and what looks wrong; never show its signature.

    Example: kubectl create token default | podpass token inspect -

    Parameters
    ----------
    file:
        A file that holds one token, or - for standard input.
    verify_against:
        An issuer URL: fetch its discovery document and keys and check the signature, the issuer and the times.
        HTTPS_PROXY and SSL_CERT_FILE are honoured, so it works in the shell of a lab.
    """
    token = _read(file).strip()
    try:
        inspection = explain(token, time.time())
    except jwt.Malformed as error:
        raise PodpassError("PP503", f"not a token: {error.reason}", reason=f"{error.reason}.") from error
    verdict = asyncio.run(_verify(token, verify_against)) if verify_against else None
    if output == "table":
        _print(inspection, verdict)
    else:
        print_value({**asdict(inspection), **({"verdict": asdict(verdict)} if verdict else {})}, output)
    return 0 if verdict is None or (verdict.genuine and verdict.current) else 3


def _read(file: str) -> str:
    try:
        if file == "-":
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise PodpassError("PP502", f"{file} can't be read", path=file, reason=error.strerror) from error
    if len(content) > MAX_BYTES:
        raise PodpassError("PP503", "not a token: it is too large", reason=f"It is larger than {MAX_BYTES} bytes.")
    return content.decode("ascii", "replace")


async def _verify(token: str, issuer: str) -> Verdict:
    from podpass.lab.clock import SystemClock
    from podpass.tokens.client import fetching_as_configured

    async with fetching_as_configured(SystemClock(), ca_file=os.environ.get("SSL_CERT_FILE")) as fetcher:
        return await verify(token, issuer, fetcher, now=time.time())


def _print(inspection: Inspection, verdict: Verdict | None) -> None:
    print(styled(inspection.kind, "bold", sys.stdout))
    print("\nheader")
    for name, value in inspection.header.items():
        print(f"  {printable(name)}: {printable(value)}")
    print("\nclaims")
    for claim in inspection.claims:
        note = f"   {styled('# ' + printable(claim.note), 'dim', sys.stdout)}" if claim.note else ""
        print(f"  {printable(claim.name)}: {printable(claim.value)}{note}")
    for heading, remarks, style in (("warnings", inspection.warnings, "yellow"), ("notes", inspection.notes, "dim")):
        if remarks:
            print(f"\n{heading}")
            for remark in remarks:
                print(f"  {styled(printable(remark), style, sys.stdout)}")
    if verdict is None:
        print("\nnot verified: --verify ISSUER checks it against the issuer's keys")
    else:
        good = verdict.genuine and verdict.current
        said = "genuine" if verdict.genuine else "NOT genuine"
        time_said = "" if verdict.current else ", outside its time"
        print(f"\n{styled(said + time_said, 'green' if good else 'red', sys.stdout)}: {printable(verdict.reason)}")
