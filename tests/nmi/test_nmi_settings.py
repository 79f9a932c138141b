"""What NMI is told at start, by the names of the original's flags."""

import inspect
from pathlib import Path

import pytest

from podpass.cli import run
from podpass.cli.nmi import nmi
from podpass.nmi.settings import OPTIONS, Mode, Settings
from podpass.settings.options import SettingsError
from podpass.settings.values import Address, seconds


@pytest.fixture
def kubelet(tmp_path: Path) -> Path:
    path = tmp_path / "kubelet"
    path.write_text("KUBELET_FLAGS=--network-plugin=cni\n")
    return path


def read(kubelet: Path, environ: dict[str, str] | None = None, **flags: str | bool) -> Settings:
    named = {name.replace("_", "-"): value for name, value in flags.items()}
    return Settings.read({"NODE_NAME": "n", **(environ or {})}, {"kubelet-config": str(kubelet), **named})


def test_defaults(kubelet: Path) -> None:
    settings = read(kubelet)
    assert settings.mode is Mode.STANDARD
    assert settings.listen == Address("127.0.0.1", 2579)
    assert settings.metadata == Address("169.254.169.254", 80)
    assert (settings.created_seconds, settings.assigned_seconds) == (80.0, 20.0)
    assert settings.delete_conntrack
    assert settings.metadata_header_required


def test_managed_mode_is_of_one_namespace(kubelet: Path) -> None:
    with pytest.raises(SettingsError, match="FORCENAMESPACED: is required in managed mode"):
        read(kubelet, operation_mode="Managed")
    assert read(kubelet, {"FORCENAMESPACED": "true"}, operation_mode="Managed").mode is Mode.MANAGED
    assert read(kubelet, operation_mode="managed", forceNamespaced=True).forced_namespaced


def test_kubenet_needs_a_word(kubelet: Path) -> None:
    kubelet.write_text("KUBELET_FLAGS=--network-plugin=kubenet --v=2\n")
    with pytest.raises(SettingsError, match="kubenet, which does not stop a pod from posing as another"):
        read(kubelet)
    assert read(kubelet, allow_network_plugin_kubenet=True)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read(
            {},
            {
                "kubelet-config": str(tmp_path / "none"),
                "operation-mode": "x",
                "metadata-ip": "nowhere",
                "nmi-port": "0",
                "find-identity-retry-interval": "soon",
            },
        )
    sources = {bad.source for bad in caught.value.bad}
    assert sources == {
        "NODE_NAME",
        "--kubelet-config",
        "--operation-mode",
        "--metadata-ip",
        "--nmi-port",
        "--find-identity-retry-interval",
    }


def test_the_command_has_exactly_these_flags(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = set(inspect.signature(nmi).parameters) - {"kubeconfig", "config"}
    assert len(parameters) == len(OPTIONS)
    monkeypatch.delenv("NODE_NAME", raising=False)
    given = [f"{option.flag}=true" if option.switch else f"{option.flag}=x" for option in OPTIONS]
    assert run(["nmi", *given]) == 1
    assert "code:  PP401" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "expected"), [("60", 60), ("3m", 180), ("1h", 3600), ("1m30s", 90), ("0.5s", 0.5)])
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "m", "-1", "1d", "1s2m", "9" * 20])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        seconds(text)
