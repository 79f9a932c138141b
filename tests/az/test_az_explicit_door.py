"""az in a cloud of its own: told where it is, without a proxy, by a variable and by registration."""

import shlex
from collections.abc import Iterator

import pytest

from podpass.lab.environment import PROXY_VARIABLES, explicit_variables
from tests.az.conftest import SCENARIO
from tests.shell import SIGN_IN, Shell, shell_in_a_lab
from tests.stock_az import needs_az

pytestmark = [*needs_az]


@pytest.fixture(scope="module")
def explicit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell after `eval "$(podpass lab env --door explicit)"`."""
    with shell_in_a_lab(tmp_path_factory.mktemp("explicit"), scenario=SCENARIO) as shell:
        for name in PROXY_VARIABLES:
            shell.environment.pop(name, None)
        shell.environment |= explicit_variables(shell.lab.endpoints, shell.lab.paths)
        yield shell


def test_the_shells_variables_are_those_that_lab_env_prints(explicit: Shell) -> None:
    printed = explicit("podpass lab env --door explicit").splitlines()
    assert printed[0] == f"unset {' '.join(PROXY_VARIABLES)}"
    variables = explicit_variables(explicit.lab.endpoints, explicit.lab.paths)
    assert printed[1:] == [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def test_one_variable_makes_the_lab_the_only_cloud(explicit: Shell) -> None:
    origin = explicit.environment["PODPASS_CLOUD"]
    assert explicit.json("az cloud list --query '[].name'") == ["Podpass"]
    ends = explicit.json("az cloud show --query endpoints")
    assert {ends["resourceManager"], ends["activeDirectory"], ends["microsoftGraphResourceId"]} == {f"{origin}/"}
    (subscription,) = explicit.json(SIGN_IN)
    assert subscription["cloudName"] == "Podpass"
    _story(explicit, "by-variable")


def test_a_cluster_is_made_and_used(explicit: Shell) -> None:
    explicit(f"{SIGN_IN}; az group create -n clusters -l eastus")
    explicit("az aks create -g clusters -n shop --node-count 1 --network-plugin azure --no-ssh-key")
    explicit('az aks get-credentials -g clusters -n shop -f "$HOME/shop"')
    assert explicit('kubectl --kubeconfig "$HOME/shop" get nodes -o name').startswith("node/")
    explicit("az aks delete -g clusters -n shop --yes")


def test_a_registered_cloud_is_one_among_azures(explicit: Shell) -> None:
    own = 'unset ARM_CLOUD_METADATA_URL; export AZURE_CONFIG_DIR="$HOME/registered"'
    explicit(f'{own}; az cloud register -n Podpass --endpoint-resource-manager "$PODPASS_CLOUD"')
    explicit(f"{own}; az cloud set -n Podpass")
    assert explicit.json(f"{own}; az cloud list --query '[?isActive].name'") == ["Podpass"]
    assert "AzureCloud" in explicit.json(f"{own}; az cloud list --query '[].name'")
    explicit(f"{own}; {SIGN_IN}")
    _story(explicit, "by-registration", own)
    explicit(f"{own}; az account clear; az cloud set -n AzureCloud; az cloud unregister -n Podpass")


def _story(shell: Shell, group: str, before: str = ":") -> None:
    """Every plane but the vaults' answers at the one address."""
    scope = shell(f"{before}; az group create -n {group} -l westeurope --query id -o tsv").strip()
    client = shell(f"{before}; az identity create -n {group} -g {group} --query clientId -o tsv").strip()
    # Graph, then Resource Manager.
    shell(f"{before}; az role assignment create --role Reader --assignee {client} --scope {scope}")
    assert shell.json(f"{before}; az role assignment list --scope {scope} --query '[].principalName'") == [client]
    assert shell.json(f"{before}; az rest --url '{scope}?api-version=2021-04-01' --query name") == group
    made = shell.json(f"{before}; az keyvault create -n kv-{group} -g {group} --enable-rbac-authorization false")
    assert len(made["properties"]["accessPolicies"]) == 1
    # An operation that goes on is followed at the same address.
    shell(f"{before}; az group delete -n {group} --yes")
    assert shell.json(f"{before}; az group exists -n {group}") is False


def test_vaults_answer_where_their_names_resolve(explicit: Shell) -> None:
    """One line of a hosts file per vault, which a mount namespace of the test's own shows instead of the machine's."""
    if explicit.run("unshare --user --map-root-user --mount true").returncode:
        pytest.skip("this machine lets nobody show another hosts file")
    explicit(SIGN_IN)
    explicit("az group create -n vaults -l westeurope")
    explicit("az keyvault create -n kv-own-name -g vaults --enable-rbac-authorization false")
    said = explicit.run("az keyvault secret set --vault-name kv-own-name -n greeting --value hello")
    if said.returncode:
        assert "Failed to resolve 'kv-own-name.vault.localhost'" in said.stderr
    line = "az keyvault secret set --vault-name kv-own-name -n greeting --value hello"
    (explicit.lab.home / "hosts").write_text("127.0.0.1 localhost kv-own-name.vault.localhost\n")
    shown = f'mount --bind "$HOME/hosts" /etc/hosts; {line}'
    secret = explicit.json(f"unshare --user --map-root-user --mount sh -c {shlex.quote(shown)}")
    port = explicit.environment["PODPASS_CLOUD"].rpartition(":")[2]
    assert secret["id"].startswith(f"https://kv-own-name.vault.localhost:{port}/secrets/greeting/")
