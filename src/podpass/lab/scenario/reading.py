"""From a scenario's text to its values, or to all of its faults at once."""

from collections.abc import Iterable
from typing import Any

from podpass.lab.scenario import model
from podpass.lab.scenario.fields import Member, members
from podpass.lab.scenario.placed import Fault, Faults, Section, compose, near
from podpass.lab.scenario.references import Index, path_of
from podpass.problems import PodpassError


class ScenarioInvalid(PodpassError):
    """The scenario can't be used; `faults` holds everything that is wrong with it, in the order of its lines."""

    def __init__(self, source: str, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: (fault.line, fault.column)))
        listing = "\n".join(f"  {source}: {fault}" for fault in self.faults)
        count = len(self.faults)
        super().__init__("PP501", f"{source} has {count} fault{'s' if count != 1 else ''}\n{listing}", source=source)


def read(text: str, *, source: str = "scenario") -> model.Scenario:
    """The scenario in *text*. Raises ScenarioInvalid with every fault and its line."""
    faults = Faults()
    root = compose(text, faults)
    if root is None:
        raise ScenarioInvalid(source, faults.found)
    section = Section(root, "", faults)
    section.text("version", one_of=("1",))
    reader = _Reader()
    given = reader.values(section, model.Scenario)
    for name in ("tenants", "subscriptions", "clusters"):
        given[name] = given[name] or getattr(model.DEFAULT, name)
    scenario = model.Scenario(**given)
    for member, what in scenario.check():
        section.fault(member, what)
    section.close()
    reader.check_references(scenario)
    if faults.found:
        raise ScenarioInvalid(source, faults.found)
    return scenario


class _Reader:
    """Reads entries by what their types say, and remembers where names are given and used."""

    def __init__(self) -> None:
        self._uses: list[tuple[Section, Member, str]] = []
        self._sections: dict[int, Section] = {}

    def entry(self, section: Section, entry_type: Any) -> Any:
        entry = entry_type(**self.values(section, entry_type))
        self._sections[id(entry)] = section
        for member, what in entry.check() if hasattr(entry, "check") else ():
            section.fault(member, what)
        return entry

    def values(self, section: Section, entry_type: Any) -> dict[str, Any]:
        return {member.attribute: self._value(section, member) for member in members(entry_type)}

    def _value(self, section: Section, member: Member) -> Any:
        match member.form:
            case "entries":
                entries = section.each(member.name, lambda item: self.entry(item, member.entry))
                self._check_siblings(member.name, entries)
                return entries
            case "entry":
                return self._inner(section, member)
            case "texts":
                texts = section.texts(member.name, one_of=member.words)
                self._uses.extend((section, member, text) for text in texts)
                return texts
            case "labels":
                return section.labels(member.name)
            case "json":
                return section.json(member.name)
            case "flag":
                default = "true" if member.default is True else "false"
                return section.text(member.name, default=default, one_of=("true", "false")) == "true"
            case "number" | "decimal":
                assert member.bounds is not None
                return section.number(
                    member.name,
                    default=member.default,
                    least=member.bounds.least,
                    most=member.bounds.most,
                    whole=member.form == "number",
                )
        return self._text(section, member)

    def _text(self, section: Section, member: Member) -> str | None:
        if member.default is None and not section.has(member.name):
            section.text(member.name, default="")
            return None
        text = section.text(
            member.name,
            default=None if member.is_required else member.default or "",
            pattern=member.spelling.pattern if member.spelling else None,
            says=member.spelling.says if member.spelling else "",
            one_of=member.words,
        )
        if section.has(member.name):
            self._uses.append((section, member, text))
        return text.lower() if member.spelling is not None and member.spelling.says == "a GUID" else text

    def _inner(self, section: Section, member: Member) -> Any:
        inner = section.section(member.name)
        if inner is None:
            if member.is_required:
                section.fault(member.name, "is required")
            return None
        entry = self.entry(inner, member.entry)
        inner.close()
        return entry

    def _check_siblings(self, name: str, entries: tuple[Any, ...]) -> None:
        seen: set[str] = set()
        for entry in entries:
            if not hasattr(entry, "name") or _is_kept_apart(entry):
                continue
            if entry.name and entry.name.lower() in seen:
                self._sections[id(entry)].fault("name", f"{entry.name!r} stands twice among {name}")
            seen.add(entry.name.lower())

    def check_references(self, scenario: model.Scenario) -> None:
        index: Index[Any] = Index()
        for member in members(model.Scenario):
            for entry in getattr(scenario, member.attribute) if member.form == "entries" else ():
                if not getattr(entry, "name", ""):
                    continue
                if not index.add(member.name, path_of(entry, index), entry) and _is_kept_apart(entry):
                    self._sections[id(entry)].fault("name", f"{entry.name!r} stands twice among {member.name}")
        for section, member, text in self._uses:
            if member.ref is None or not text:
                continue
            sections = member.ref.sections
            found = index.find(sections, text)
            if len(found) > 1:
                ways = ", ".join("/".join(path) for path, _ in found)
                section.fault(member.name, f"{text!r} may be any of {ways}; say which")
            elif not found:
                have = sorted(index.references(sections))
                there = ", ".join(have) or "none"
                kinds = " and ".join(sections)
                section.fault(member.name, f"{text!r} is not among {kinds}{near(text, have)} (there: {there})")


def _is_kept_apart(entry: Any) -> bool:
    """Whether two entries of this type may have one name, in different places."""
    return any(member.ref is not None and member.ref.parent for member in members(type(entry)))
