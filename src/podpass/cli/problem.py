"""`podpass problem`: the catalogue of problems on the terminal."""

from typing import Annotated

from cyclopts import Parameter

from podpass.cli.output import Format, print_error, print_table, print_value
from podpass.problems import CATALOGUE


def problem(code: str = "", /, *, output: Annotated[Format, Parameter(name=["--output", "-o"])] = "table") -> int:
    """Explain one problem, or list all of them.

    Example: podpass problem PP201

    Parameters
    ----------
    code:
        The code as printed, such as PP201. Without it every problem is listed.
    """
    if not code:
        if output == "table":
            print_table(
                [[entry.code, entry.wire, entry.title] for entry in CATALOGUE.values()], heads=("CODE", "WIRE", "TITLE")
            )
        else:
            print_value(list(CATALOGUE.values()), output)
        return 0
    entry = CATALOGUE.get(code.upper())
    if entry is None:
        print_error(f"there is no problem {code}", hint="podpass problem")
        return 1
    if output == "table":
        shown = {"code": entry.code, "title": entry.title, "cause": entry.cause_for(), "remedy": entry.remedy_for()}
        print_value({**shown, "wire": entry.wire} if entry.wire else shown, output)
    else:
        print_value(entry, output)
    return 0
