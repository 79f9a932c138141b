"""`podpass lab scenario`: what can be said of a scenario file without a lab."""

from pathlib import Path

from cyclopts import App

from podpass.cli.output import note

app = App(name="scenario", help="Scenario files.")


@app.command
def check(file: Path, /) -> int:
    """Say what is wrong with a scenario file, or what it declares. No lab is needed or changed.

    What only a service can refuse shows when the file is applied.

    Example: podpass lab scenario check scenario.yaml

    Parameters
    ----------
    file:
        The YAML file.
    """
    # Imported here: the types of all entries take longer than most commands.
    from podpass.lab.scenario import read, text_of
    from podpass.lab.scenario.fields import members
    from podpass.lab.scenario.model import Scenario

    scenario = read(text_of(file), source=str(file))
    for member in members(Scenario):
        entries = getattr(scenario, member.attribute)
        if member.form == "entries" and entries:
            print(f"{len(entries):>5}  {member.name}")
    note(f"{file} is fine")
    return 0
