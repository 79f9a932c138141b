"""Users and groups of a tenant."""

from dataclasses import dataclass, field
from typing import Annotated

from podpass.lab.scenario.entries import spelling
from podpass.lab.scenario.entries.access import PrincipalEntry
from podpass.lab.scenario.fields import Json, Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEntry:
    """A person. Nobody signs in as one, so there is no password."""

    name: Annotated[str, spelling.TITLE, "how the rest of the file refers to them"]
    tenant: Annotated[str, Ref("tenants", parent=True), "whose they are"]
    principal_name: Annotated[str, "such as `jane@contoso.example.com`, in a domain of the tenant"]
    display_name: Annotated[str, "the `name` when absent"] = ""
    id: Annotated[str, spelling.GUID, "chosen and kept when absent"] = ""
    enabled: Annotated[bool, "whether the account is enabled"] = True
    directory_roles: Annotated[tuple[str, ...], "names of roles of the directory that they hold"] = ()
    members: Annotated[Json, "further members as Graph spells them, such as `jobTitle`"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupEntry:
    """A security group: what is in it holds what is assigned to it."""

    name: Annotated[str, spelling.TITLE, "how the rest of the file refers to it"]
    tenant: Annotated[str, Ref("tenants", parent=True), "whose it is"]
    display_name: Annotated[str, "the `name` when absent"] = ""
    id: Annotated[str, spelling.GUID, "chosen and kept when absent"] = ""
    description: Annotated[str, "for people"] = ""
    mail_nickname: Annotated[str, "follows from the name when absent"] = ""
    members: Annotated[tuple[PrincipalEntry, ...], "who is in it; who is in it besides stays"] = ()
