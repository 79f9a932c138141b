"""Every call that the lab's Graph has."""

from podpass.lab.clock import Clock
from podpass.lab.entra.directory import Directory
from podpass.lab.entra.people import People
from podpass.lab.graph import errors
from podpass.lab.graph.applications import Applications
from podpass.lab.graph.belonging import Belonging
from podpass.lab.graph.calls import Answer, Call
from podpass.lab.graph.directory_objects import DirectoryObjects
from podpass.lab.graph.directory_roles import DirectoryRoles, RoleManagement
from podpass.lab.graph.federated import FederatedCredentials
from podpass.lab.graph.groups import Groups
from podpass.lab.graph.operations import Operation, Operations, Plain
from podpass.lab.graph.principals import Principals
from podpass.lab.graph.users import Users


class Catalogue:
    """The kinds of objects that Graph has here, and the calls on them."""

    def __init__(self, directory: Directory, clock: Clock, people: People, roles: DirectoryRoles) -> None:
        self.applications = Applications(directory, people, clock)
        self.principals = Principals(directory, people, clock)
        self.federated = FederatedCredentials(directory, self.applications)
        self.users = Users(directory, people, clock)
        objects = DirectoryObjects(directory, people, self.principals)
        belonging = Belonging(people, objects.shown)
        self.groups = Groups(people, belonging, clock)
        self.operations = Operations(
            (
                *self.applications.operations(),
                *belonging.operations("applications", "owner", self._registration),
                *self.federated.operations(),
                *self.principals.operations(),
                *belonging.operations("servicePrincipals", "owner", self._principal),
                *belonging.memberships("servicePrincipals", self._principal),
                *Plain(self.users).operations(),
                *belonging.memberships("users", self._user),
                *Plain(self.groups).operations(),
                *belonging.operations("groups", "member", self._group),
                *belonging.operations("groups", "owner", self._group),
                *belonging.memberships("groups", self._group),
                *objects.operations(),
                *belonging.memberships("directoryObjects", objects.id_of),
                *RoleManagement(roles, objects.shown).operations(),
                *(Operation(method="GET", path=path, action="", run=_me) for path in ("me", "me/ownedObjects")),
            )
        )

    def _registration(self, tenant_id: str, name: str) -> str:
        return self.applications.find(tenant_id, name).registration_id

    def _principal(self, tenant_id: str, name: str) -> str:
        return self.principals.find(tenant_id, name).object_id

    def _user(self, tenant_id: str, name: str) -> str:
        return self.users.find(tenant_id, name).object_id

    def _group(self, tenant_id: str, name: str) -> str:
        return self.groups.find(tenant_id, name).object_id


def _me(call: Call) -> Answer:
    del call
    raise errors.not_for_applications()
