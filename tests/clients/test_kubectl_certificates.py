"""kubectl comes with a client certificate instead of a token."""

import base64
import contextlib
import http.client
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from podpass.cli import lab as command
from podpass.lab.certificates import CertificateAuthority
from podpass.lab.user_kubeconfig import user_kubeconfig
from tests.clients.conftest import Kubectl
from tests.running_lab import RunningLab


@pytest.fixture
def jane(
    kubectl: Kubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, str]:
    """The variables of a shell in which kubectl is jane, a developer and an auditor."""
    monkeypatch.setenv("PODPASS_HOME", str(kubectl.lab.paths.directory.parent.parent))
    assert command.kubeconfig("jane", group=["developers", "auditors"], name=kubectl.lab.paths.name) == 0
    path = tmp_path / "jane.kubeconfig"
    path.write_text(capsys.readouterr().out)
    return {"KUBECONFIG": str(path)}


def test_somebody_with_a_certificate_is_who_it_names(kubectl: Kubectl, jane: dict[str, str]) -> None:
    refused = kubectl.run("get pods", **jane)
    assert 'User "jane" cannot list resource "pods"' in refused.stderr
    kubectl("create rolebinding reading --clusterrole=view --group=developers")
    assert kubectl("get pods -o name", **jane) == ""
    assert kubectl.run("auth can-i create pods", **jane).stdout == "no\n"
    if not kubectl.old:
        rows = dict(line.split(None, 1) for line in kubectl("auth whoami", **jane).splitlines())
        assert rows["Username"] == "jane"
        assert rows["Groups"].strip() == "[developers auditors system:authenticated]"
        assert "X509SHA256=" in kubectl("auth whoami -o yaml", **jane)


def test_a_certificate_of_another_authority_is_refused(running_lab: RunningLab, tmp_path: Path) -> None:
    # Not with kubectl, which goes on asking for a minute.
    stranger = CertificateAuthority.open(tmp_path / "ca")
    config = yaml.safe_load(user_kubeconfig(running_lab.paths.kubeconfig.read_text(), stranger, "jane", []))
    shown = config["users"][0]["user"]
    (tmp_path / "jane.pem").write_bytes(
        b"".join(base64.b64decode(shown[f"client-{part}-data"]) for part in ("certificate", "key"))
    )
    tls = ssl.create_default_context(cafile=str(running_lab.paths.ca_certificate))
    tls.load_cert_chain(tmp_path / "jane.pem")
    address = urlsplit(running_lab.endpoints.api)
    connection = http.client.HTTPSConnection(str(address.hostname), address.port, context=tls, timeout=30)
    with contextlib.closing(connection), pytest.raises((ConnectionError, ssl.SSLError)):
        connection.request("GET", "/version")
        connection.getresponse()


@pytest.mark.parametrize(("user", "group"), [("", "a"), ("a" * 65, "a"), ("jane", "")])
def test_a_name_that_no_certificate_holds_is_refused(kubectl: Kubectl, tmp_path: Path, user: str, group: str) -> None:
    ca = CertificateAuthority.open(tmp_path / "ca")
    with pytest.raises(ValueError, match="1 to 64 characters"):
        user_kubeconfig(kubectl.lab.paths.kubeconfig.read_text(), ca, user, [group])
