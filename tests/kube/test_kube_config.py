"""Where the API server is and who we are there."""

import base64
from pathlib import Path

import pytest
import yaml

from podpass.kube.config import (
    BasicPassword,
    ClientCertificate,
    ConfigError,
    ExecPlugin,
    StaticToken,
    TokenFile,
    from_kubeconfig,
    in_cluster,
    load,
)


def write(path: Path, *, user: dict | None = None, cluster: dict | None = None, name: str = "one", **context) -> Path:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, **context}}],
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}.test:6443/", **(cluster or {})}}],
        "users": [{"name": name, "user": user or {}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_the_current_context_gives_server_and_namespace(tmp_path: Path):
    access = from_kubeconfig([write(tmp_path / "c", namespace="shop")])
    assert (access.server, access.namespace, access.credential) == ("https://one.test:6443", "shop", None)


@pytest.mark.parametrize(
    ("user", "credential"),
    [
        ({"token": "t"}, StaticToken("t")),
        ({"username": "u", "password": "p"}, BasicPassword("u", "p")),
    ],
)
def test_credentials_in_the_file(tmp_path: Path, user: dict, credential):
    assert from_kubeconfig([write(tmp_path / "c", user=user)]).credential == credential


def test_a_token_file_wins_and_is_relative_to_the_kubeconfig(tmp_path: Path):
    access = from_kubeconfig([write(tmp_path / "c", user={"token": "t", "tokenFile": "sub/token"})])
    assert access.credential == TokenFile(tmp_path / "sub/token")


def test_certificates_from_files_and_from_data_which_wins(tmp_path: Path):
    (tmp_path / "ca.pem").write_text("from-file")
    user = {"client-certificate-data": b64("cert"), "client-key-data": b64("key")}
    access = from_kubeconfig([write(tmp_path / "c", user=user, cluster={"certificate-authority": "ca.pem"})])
    assert access.ca_pem == b"from-file"
    assert access.certificate == ClientCertificate(b"cert", b"key")
    both = {"certificate-authority": "ca.pem", "certificate-authority-data": b64("from-data")}
    assert from_kubeconfig([write(tmp_path / "c", cluster=both)]).ca_pem == b"from-data"


def test_an_exec_plugin(tmp_path: Path):
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "./bin/login",
        "args": ["get-token"],
        "env": [{"name": "A", "value": "1"}],
        "provideClusterInfo": True,
        "installHint": "Install it.",
    }
    assert from_kubeconfig([write(tmp_path / "c", user={"exec": plugin})]).credential == ExecPlugin(
        str(tmp_path / "bin/login"),
        ("get-token",),
        (("A", "1"),),
        "client.authentication.k8s.io/v1beta1",
        True,
        "Install it.",
    )
    plugin["command"] = "login"
    assert from_kubeconfig([write(tmp_path / "c", user={"exec": plugin})]).credential.command == "login"


def test_the_other_members_of_cluster_and_user(tmp_path: Path):
    cluster = {"tls-server-name": "kubernetes", "insecure-skip-tls-verify": True, "proxy-url": "http://proxy.test"}
    access = from_kubeconfig([write(tmp_path / "c", user={"as": "jane", "as-groups": ["dev"]}, cluster=cluster)])
    assert (access.tls_server_name, access.skip_tls_verify, access.proxy) == ("kubernetes", True, "http://proxy.test")
    assert (access.impersonate_user, access.impersonate_groups) == ("jane", ("dev",))


def test_of_several_files_the_first_counts(tmp_path: Path):
    first, second = write(tmp_path / "a"), write(tmp_path / "b", name="two")
    environ = {"KUBECONFIG": f"{first}:{tmp_path / 'missing'}:{second}"}
    assert load(environ).server == "https://one.test:6443"
    assert load(environ, context="two").server == "https://two.test:6443"


def test_the_order_of_places(tmp_path: Path):
    account = tmp_path / "account"
    account.mkdir()
    for name, text in (("token", "t"), ("ca.crt", "ca"), ("namespace", "podpass\n")):
        (account / name).write_text(text)
    home = tmp_path / "home"
    (home / ".kube").mkdir(parents=True)
    write(home / ".kube" / "config", name="home")
    given = write(tmp_path / "given", name="given")
    named = write(tmp_path / "named", name="named")
    environ = {"HOME": str(home), "KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    everything = {**environ, "KUBECONFIG": str(named)}
    assert load(everything, path=given, service_account=account).server == "https://given.test:6443"
    assert load(everything, service_account=account).server == "https://named.test:6443"
    access = load(environ, service_account=account)
    assert (access.server, access.namespace, access.ca_pem) == ("https://10.0.0.1:443", "podpass", b"ca")
    assert access.credential == TokenFile(account / "token")
    assert load({"HOME": str(home)}, service_account=account).server == "https://home.test:6443"
    with pytest.raises(ConfigError, match="KUBECONFIG"):
        load({"HOME": str(tmp_path)}, service_account=account)


def test_an_ipv6_service_host_is_put_in_brackets(tmp_path: Path):
    (tmp_path / "ca.crt").write_text("ca")
    assert in_cluster({"KUBERNETES_SERVICE_HOST": "fd00::1"}, tmp_path).server == "https://[fd00::1]:443"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no current-context"),
        ("- a", "not a kubeconfig"),
        ("{", "not a YAML document"),
        ("current-context: x", "no context is named 'x'"),
        ("contexts: [1]", "contexts holds something"),
    ],
)
def test_a_file_that_cant_be_used_is_named(tmp_path: Path, text: str, says: str):
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        from_kubeconfig([path])
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"cluster": {"server": "10.0.0.1"}},
        {"cluster": {"certificate-authority": "missing.pem"}},
        {"user": {"client-certificate-data": b64("cert")}},
        {"user": {"exec": {"args": []}}},
    ],
)
def test_members_that_cant_be_used(tmp_path: Path, options: dict):
    with pytest.raises(ConfigError):
        from_kubeconfig([write(tmp_path / "c", **options)])


def test_no_secret_shows_in_a_repr(tmp_path: Path):
    user = {"token": "very-secret", "client-certificate-data": b64("cert"), "client-key-data": b64("very-secret")}
    assert "very-secret" not in repr(from_kubeconfig([write(tmp_path / "c", user=user)]))


def test_a_broken_file_does_not_quote_its_lines(tmp_path: Path):
    path = tmp_path / "config"
    path.write_text("token: very-secret\n  x: [")
    with pytest.raises(ConfigError) as caught:
        from_kubeconfig([path])
    assert "very-secret" not in str(caught.value)
