"""Every problem podpass can name. A code is never reused for another meaning.

PP1xx the machine and the lab, PP2xx the trust chain at Entra, PP3xx Key Vault and access, PP4xx the cluster and
its webhook, PP5xx files the user wrote.
"""

import shlex
import string
from dataclasses import dataclass
from typing import Any


class _Standing(str):
    """A name in braces for which there is no value. A value that looks like one is still a value."""

    __slots__ = ()


class _Lenient(dict[str, object]):
    """Leaves `{name}` standing where no value was given: half a remedy is better than none."""

    def __missing__(self, key: str) -> str:
        return _Standing("{" + key + "}")


class _Quoting(string.Formatter):
    """Adds `{name!q}`: the value quoted for a shell. Names and claims come from tokens and may hold anything."""

    def convert_field(self, value: Any, conversion: str | None) -> Any:
        if conversion == "q":
            return value if isinstance(value, _Standing) else shlex.quote(str(value))
        return super().convert_field(value, conversion)


def _fill(text: str, values: dict[str, object]) -> str:
    return _Quoting().vformat(text, (), _Lenient(values))


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that goes wrong. *cause* and *remedy* hold `{names}` filled in from the decision that found it."""

    code: str
    title: str
    cause: str
    remedy: str
    application_remedy: str = ""
    """The remedy where it is not a managed identity but an application that is to be mended."""
    wire: str = ""
    """The code by which the cloud's own service reports it, where it does."""
    reproduce: str = ""
    """A command that shows it in the lab, where one does."""

    @property
    def page(self) -> str:
        """The problem's page below docs/reference."""
        return f"problems/{self.code}.md"

    def cause_for(self, **values: object) -> str:
        return _fill(self.cause, values)

    def remedy_for(self, **values: object) -> str:
        """The remedy, which differs where the values' `holder` is an application."""
        other = self.application_remedy if values.get("holder") == "application" else ""
        return _fill(other or self.remedy, values)


_PROBLEMS = (
    Problem(
        "PP101",
        title="The port is in use",
        cause="Another program listens on {host}:{port}.",
        remedy="Stop that program, or choose another port with {option}.",
    ),
    Problem(
        "PP102",
        title="The lab is already running",
        cause="Lab {name} runs as process {pid}.",
        remedy="podpass lab status --name {name}",
    ),
    Problem(
        "PP103",
        title="The lab is not running",
        cause="No process answers for lab {name}.",
        remedy="podpass lab up --name {name}",
    ),
    Problem(
        "PP104",
        title="The lab did not become ready",
        cause="{reason}",
        remedy="Read the last lines of {log}.",
    ),
    Problem(
        "PP105",
        title="The lab's files can't be written",
        cause="{path}: {reason}.",
        remedy="Free space there or mend its rights, or set PODPASS_HOME to a directory that has both.",
    ),
    Problem(
        "PP107",
        title="The lab's state can't be read",
        cause="{path}: {reason}.",
        remedy="podpass lab reset --name {name} --yes   (this deletes the lab's state)",
    ),
    Problem(
        "PP108",
        title="Not a lab's name",
        cause="{name!r} is not lower-case letters, digits and hyphens, at most 40 of them.",
        remedy="Choose a name such as dev or ci-1.",
    ),
    Problem(
        "PP109",
        title="The runtime can't be had on this machine",
        cause="{reason}",
        remedy="{remedy}",
    ),
    Problem(
        "PP110",
        title="The lab did not answer",
        cause="{reason}",
        remedy="podpass lab status --name {name}",
    ),
    Problem(
        "PP401",
        title="The settings of a component can't be used",
        cause="{reason}",
        remedy="Mend {first} first; the component's page in docs/reference lists every setting.",
    ),
    Problem(
        "PP402",
        title="No cluster can be reached with this configuration",
        cause="{reason}",
        remedy="kubectl config view --minify   (shows what the current context says; --kubeconfig names another file)",
    ),
    Problem(
        "PP403",
        title="MIC does not know which cloud it works with",
        cause="The configuration from {where} can't be used: {reason}.",
        remedy="Mend {where}; docs/reference/mic.md lists what it holds.",
    ),
    Problem(
        "PP410",
        title="The pod does not ask for the webhook",
        cause="The webhook {webhook} only handles pods with the label {label}={wanted}; the pod {pod} in namespace"
        " {namespace} has {found}. The label belongs on the pod itself, and counts when the pod is created.",
        remedy="kubectl get pod {pod!q} --namespace {namespace!q} --output yaml"
        " | kubectl label --local --filename - --overwrite {label!q}={wanted!q} --output yaml"
        " | kubectl replace --force --filename -",
        reproduce="podpass demo --break no-label",
    ),
    Problem(
        "PP411",
        title="The admission webhook could not be called",
        cause="The API server called the webhook {webhook} of {configuration}: {reason}.",
        remedy="kubectl describe {resource} {configuration!q}",
        wire="InternalError",
    ),
    Problem(
        "PP412",
        title="The service account names no client id",
        cause="The service account {service_account} in namespace {namespace} has no annotation"
        " azure.workload.identity/client-id, so the pod {pod} was not told which identity to be.",
        remedy="kubectl annotate serviceaccount {service_account!q} --namespace {namespace!q}"
        " azure.workload.identity/client-id={client_id!q}",
    ),
    Problem(
        "PP413",
        title="The service account does not exist",
        cause="The pod {pod} runs as service account {service_account}, which namespace {namespace} does not have.",
        remedy="kubectl create serviceaccount {service_account!q} --namespace {namespace!q}",
        wire="Forbidden",
    ),
    Problem(
        "PP420",
        title="A pod may pose as another and get its identity",
        cause="The network lets a pod send with another's address, and {count} pods keep the capability NET_RAW, which"
        " is all that it takes.",
        remedy="kubectl apply -f deploy/policy/prevent-net-raw.yaml   (then start those pods anew, with"
        " securityContext.capabilities.drop: [NET_RAW]; a network plug-in that keeps pods apart ends it for good)",
    ),
    Problem(
        "PP111",
        title="No identity of that name",
        cause="The lab's identities are: {have}.",
        remedy="podpass lab identity",
    ),
    Problem(
        "PP112",
        title="The port can't be taken",
        cause="{host}:{port}: {reason}.",
        remedy="Choose a port from 1024 to 65535 with {option}, or leave it out for a free one.",
    ),
    Problem(
        "PP501",
        title="The scenario can't be used",
        cause="It does not say what the reference of the scenario file asks for.",
        remedy="Mend the lines named above in {source}; docs/reference/scenario.md lists every member.",
    ),
    Problem(
        "PP502",
        title="The file can't be read",
        cause="{path}: {reason}.",
        remedy="Give the path of a file you may read.",
    ),
    Problem(
        "PP505",
        title="Values of secrets are not printed",
        cause="A terminal keeps what it shows, and what a pipe leads to is anybody's guess.",
        remedy="podpass lab export --with-secret-values --output FILE   (readable for you alone)",
        reproduce="podpass lab export --with-secret-values",
    ),
    Problem(
        "PP506",
        title="The file can't be written",
        cause="{path}: {reason}.",
        remedy="Give the path of a file in a directory that you may write to.",
    ),
    Problem(
        "PP504",
        title="An entry of the scenario was refused",
        cause="{what}: {reason}",
        remedy="Change that entry to what the service allows; nothing of the scenario was applied.",
    ),
    Problem(
        "PP503",
        title="Not a token",
        cause="{reason}",
        remedy="Give a file that holds one JWT, or pipe it in: podpass token inspect -",
    ),
    Problem(
        "PP120",
        title="The image can't be added",
        cause="{source}: {reason}.",
        remedy="podpass lab image add --help   (what can be added, and how)",
    ),
    Problem(
        "PP121",
        title="The image is in use",
        cause="{users} run{verb} from {name}.",
        remedy="Delete the pods first, or say --yes: what runs goes on, and later starts no longer find the image.",
    ),
    Problem(
        "PP122",
        title="There is no such image",
        cause="Nothing that was added is called {name!r}{hint}.",
        remedy="podpass lab image ls --name {lab!q}",
    ),
    Problem(
        "PP140",
        title="There is no such node",
        cause="The lab's nodes are: {have}. There is none called {name!r}.",
        remedy="podpass lab node ls --name {lab!q}",
    ),
    Problem(
        "PP141",
        title="The nodes can't be changed so",
        cause="{reason}.",
        remedy="podpass lab node ls --name {lab!q}",
    ),
    Problem(
        "PP142",
        title="The lab has no one cluster of that name",
        cause="No cluster that runs is called {cluster}, or several are; there are {have}.",
        remedy="podpass lab status --name {lab!q}   (its resource id or guid tells one of several)",
    ),
    Problem(
        "PP130",
        title="The lab belongs to another cluster",
        cause="Lab {name} belongs to {cluster}; a lab stays with the cluster it began with.",
        remedy="podpass lab up --name NEW --kubeconfig FILE   (another lab), or podpass lab reset --name {name} --yes",
    ),
    Problem(
        "PP131",
        title="The cluster is not on this machine",
        cause="The API server of context {context} is {server}, and the lab never connects beyond this machine.",
        remedy="Forward a port of 127.0.0.1 to it (ssh -L), and name it in a kubeconfig with tls-server-name: {host}",
    ),
    Problem(
        "PP132",
        title="The cluster's issuer can't be trusted by a cloud",
        cause="The issuer {issuer} is of no use: {reason}.",
        remedy="kubectl get --raw /.well-known/openid-configuration   (set by --service-account-issuer)",
    ),
    Problem(
        "PP133",
        title="The cluster refused what the lab needs there",
        cause="{what}: {reason}.",
        remedy="podpass lab up --kubeconfig FILE --dry-run   (lists what the lab needs there)",
    ),
    Problem(
        "PP201",
        title="Issuer differs by a trailing slash",
        cause="The token's issuer is {issuer}; the federated credential {credential} says {credential_issuer}.",
        remedy="az identity federated-credential update --name {credential!q} --identity-name {identity!q}"
        " --resource-group {resource_group!q} --issuer {issuer!q} --subject {credential_subject!q}"
        " --audiences {credential_audience!q}",
        application_remedy="az ad app federated-credential update --id {client_id!q}"
        " --federated-credential-id {credential!q} --parameters {trust!q}",
        wire="AADSTS700211",
    ),
    Problem(
        "PP202",
        title="No federated credential for the issuer",
        cause="The token's issuer is {issuer}; the closest federated credential, {credential}, is for"
        " {credential_issuer}.",
        remedy="az identity federated-credential create --name {new_credential!q} --identity-name {identity!q}"
        " --resource-group {resource_group!q} --issuer {issuer!q} --subject {subject!q} --audiences {audience!q}",
        application_remedy="az ad app federated-credential create --id {client_id!q} --parameters {trust!q}",
        wire="AADSTS700211",
    ),
    Problem(
        "PP203",
        title="Audience differs",
        cause="The token is for the audience {audience}; the federated credential {credential} wants"
        " {credential_audience}.",
        remedy="az identity federated-credential update --name {credential!q} --identity-name {identity!q}"
        " --resource-group {resource_group!q} --issuer {credential_issuer!q} --subject {credential_subject!q}"
        " --audiences {audience!q}",
        application_remedy="az ad app federated-credential update --id {client_id!q}"
        " --federated-credential-id {credential!q} --parameters {trust!q}",
        wire="AADSTS700212",
    ),
    Problem(
        "PP204",
        title="No federated credential for the subject",
        cause="The token's subject is {subject}; the closest federated credential, {credential}, is for"
        " {credential_subject}.",
        remedy="az identity federated-credential create --name {new_credential!q} --identity-name {identity!q}"
        " --resource-group {resource_group!q} --issuer {issuer!q} --subject {subject!q} --audiences {audience!q}",
        application_remedy="az ad app federated-credential create --id {client_id!q} --parameters {trust!q}",
        wire="AADSTS700213",
    ),
    Problem(
        "PP205",
        title="Subject differs in letter case",
        cause="The token's subject is {subject}; the federated credential {credential} says {credential_subject}."
        " Letter case counts.",
        remedy="az identity federated-credential update --name {credential!q} --identity-name {identity!q}"
        " --resource-group {resource_group!q} --issuer {credential_issuer!q} --subject {subject!q}"
        " --audiences {credential_audience!q}",
        application_remedy="az ad app federated-credential update --id {client_id!q}"
        " --federated-credential-id {credential!q} --parameters {trust!q}",
        wire="AADSTS7002138",
    ),
    Problem(
        "PP206",
        title="The identity has no federated credentials",
        cause="Nothing tells {name} ({client_id}) to trust tokens of {issuer}.",
        remedy="az identity federated-credential create --name {new_credential!q} --identity-name {identity!q}"
        " --resource-group {resource_group!q} --issuer {issuer!q} --subject {subject!q} --audiences {audience!q}",
        application_remedy="az ad app federated-credential create --id {client_id!q} --parameters {trust!q}",
        wire="AADSTS70025",
    ),
    Problem(
        "PP207",
        title="The token is outside its time",
        cause="The token is valid from {valid_from} until {expires}; the authority's clock says {current_time}."
        " Either a program kept an old token, or the clocks of cluster and cloud differ by more than 5 minutes.",
        remedy="kubectl delete pod {pod!q} --namespace {namespace!q}",
        wire="AADSTS700024",
    ),
    Problem(
        "PP208",
        title="The issuer's documents can't be fetched",
        cause="The authority could not use the discovery document or the keys of {issuer}: {reason}.",
        remedy="curl --fail --show-error {discovery_url!q}",
        wire="AADSTS50166",
        reproduce="podpass lab fault --issuer-unreachable",
    ),
    Problem(
        "PP209",
        title="The issuer does not publish the token's key",
        cause="The token was signed with key {kid}, which is not among the keys of {issuer}."
        " After a key rotation the published key set must hold the old and the new key.",
        remedy="kubectl get --raw /openid/v1/jwks",
        wire="AADSTS7000272",
    ),
    Problem(
        "PP210",
        title="The token's signature is wrong",
        cause="Key {kid} of {issuer} did not make the token's signature: the token was changed, or another cluster"
        " claims the same issuer.",
        remedy="kubectl create token {service_account!q} --namespace {namespace!q} --audience {audience!q}",
        wire="AADSTS700027",
    ),
    Problem(
        "PP211",
        title="The client assertion is not a usable token",
        cause="What the client sent as its assertion can't be read, or is signed in a way that is not accepted.",
        remedy='podpass token inspect "$AZURE_FEDERATED_TOKEN_FILE"',
        wire="AADSTS50027",
    ),
    Problem(
        "PP212",
        title="The client id is unknown in the tenant",
        cause="Tenant {tenant} has no application or managed identity with client id {client_id}."
        " The service account's annotation azure.workload.identity/client-id names it.",
        remedy='az identity list --query "[].[name, clientId]" --output table',
        wire="AADSTS700016",
    ),
    Problem(
        "PP213",
        title="The tenant is unknown",
        cause="There is no tenant {tenant}.",
        remedy="az account show --query tenantId --output tsv",
        wire="AADSTS90002",
    ),
    Problem(
        "PP214",
        title="The resource is unknown",
        cause="The client asked for a token for {resource}, which nothing in tenant {tenant} offers.",
        remedy="Ask for the service's own address: https://vault.azure.net/.default for a key vault,"
        " https://management.azure.com/.default for Resource Manager.",
        wire="AADSTS500011",
    ),
    Problem(
        "PP215",
        title="The issuer can't be federated with",
        cause="The issuer {issuer} {reason}. It must be an https address that the cloud can reach.",
        remedy="kubectl get --raw /.well-known/openid-configuration",
        wire="AADSTS70022",
    ),
    Problem(
        "PP216",
        title="The expression of a flexible credential does not match",
        cause="The token's subject is {subject}; the closest federated credential, {credential}, is flexible and wants"
        " {credential_expression}. Letter case counts, and a claim that the token lacks matches nothing.",
        remedy="az identity federated-credential create --name {new_credential!q} --identity-name {identity!q}"
        " --resource-group {resource_group!q} --issuer {issuer!q} --subject {subject!q} --audiences {audience!q}",
        application_remedy="az ad app federated-credential create --id {client_id!q} --parameters {trust!q}",
        wire="AADSTS7002131",
    ),
    Problem(
        "PP217",
        title="The token is older than a revocation",
        cause="{service} wants a token issued {expected} (seconds since the epoch); this one is of {found}. The client"
        " said that it answers claims challenges, and is to ask for another with the claims it was told.",
        remedy="Let the SDK answer the challenge, as Azure's own do; a program that can't is to be restarted.",
        wire="InvalidAuthenticationToken",
        reproduce="podpass lab revoke NAME",
    ),
    Problem(
        "PP218",
        title="The federated credential is not seen yet",
        cause="The federated credential {credential} trusts the token. It was written, or asked for in vain,"
        " too short a time ago: the directory needs a while until every token endpoint sees a change.",
        remedy="podpass lab advance 2m   (in a lab; elsewhere wait, and let the program try again with growing pauses)",
        wire="AADSTS70025",
        reproduce="podpass lab fault --propagation-delay-seconds 60",
    ),
    Problem(
        "PP301",
        title="No role assignment lets the caller use the vault",
        cause="{principal} may not do {action}: {why}.",
        remedy="az role assignment create --assignee-object-id {object_id!q} --assignee-principal-type ServicePrincipal"
        " --role {role!q} --scope {scope!q}",
        wire="ForbiddenByRbac",
    ),
    Problem(
        "PP302",
        title="No access policy lets the caller use the vault",
        cause="The vault {vault} decides by access policies, and {why}.",
        remedy="az keyvault set-policy --name {vault!q} --object-id {object_id!q} --{kind}-permissions {permission!q}",
        wire="ForbiddenByPolicy",
    ),
    Problem(
        "PP303",
        title="There is no such secret",
        cause="The vault {vault} has no secret {secret}.",
        remedy="az keyvault secret set --vault-name {vault!q} --name {secret!q} --file /path/to/the/value",
        wire="SecretNotFound",
    ),
    Problem(
        "PP304",
        title="There is no such vault",
        cause="No subscription of the lab has a vault named {vault}.",
        remedy="az keyvault list --query '[].name' --output tsv",
        wire="VaultNotFound",
    ),
    Problem(
        "PP305",
        title="No role assignment allows the change",
        cause="{principal} may not do {action}: {why}.",
        remedy="az role assignment create --assignee-object-id {object_id!q} --assignee-principal-type ServicePrincipal"
        " --role {role!q} --scope {scope!q}",
        wire="AuthorizationFailed",
    ),
    Problem(
        "PP306",
        title="The access token does not count here",
        cause="{service} does not take the token: {why} Expected: {expected}. Found: {found}.",
        remedy="Ask for a token of tenant {tenant_id} with the scope {token_scope}.",
        wire="Unauthorized",
    ),
    Problem(
        "PP307",
        title="The secret is deleted and can be recovered",
        cause="The secret {secret} of the vault {vault} is deleted; its name is taken until it is purged.",
        remedy="az keyvault secret recover --vault-name {vault!q} --name {secret!q}",
        wire="ObjectIsDeletedButRecoverable",
    ),
    Problem(
        "PP308",
        title="The vault's network rules refuse the caller's address",
        cause="The vault {vault} does not let {address} in.",
        remedy="az keyvault update --name {vault!q} --default-action Allow --public-network-access Enabled",
        wire="ForbiddenByFirewall",
    ),
    Problem(
        "PP309",
        title="The secret is disabled",
        cause="The newest version of the secret {secret} in the vault {vault} is disabled.",
        remedy="az keyvault secret set-attributes --vault-name {vault!q} --name {secret!q} --enabled true",
        wire="SecretDisabled",
    ),
    Problem(
        "PP310",
        title="No directory role lets the caller use Microsoft Graph",
        cause="{principal} may not do {action}: {why}.",
        remedy="az rest --method post --url https://graph.microsoft.com/v1.0/roleManagement/directory/roleAssignments"
        " --body {assignment!q}",
        wire="Authorization_RequestDenied",
    ),
    Problem(
        "PP311",
        title="A lock stands against the change",
        cause="The lock {lock} is {level} for what is at and below {locked}.",
        remedy="az lock delete --ids {lock!q}",
        wire="ScopeLocked",
    ),
)

CATALOGUE: dict[str, Problem] = {entry.code: entry for entry in _PROBLEMS}


def problem(code: str) -> Problem:
    """The catalogue's entry for *code*. Raises KeyError for a code that does not exist."""
    return CATALOGUE[code]
