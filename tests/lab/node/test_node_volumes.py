"""What volumes hold, and how their files change."""

import base64
import os
import stat
from pathlib import Path

import pytest

from podpass.lab.node.atomic_writer import write
from podpass.lab.node.container_environment import NotYet, References
from podpass.lab.node.fields import Place
from podpass.lab.node.token_refresh import ProjectedToken, is_expired, refresh_at
from podpass.lab.node.volumes import EmptyDirectory, File, Files, HostPath, content, token_keys

PLACE = Place("lab-node", "10.244.0.1", "10.244.0.7", {})
REFERENCES = References(
    {"vault": {"data": {"key": base64.b64encode(b"s3").decode(), "other": "eA=="}}},
    {"settings": {"data": {"a": "one"}, "binaryData": {"b": "//4="}}},
)


def pod(*volumes: dict, **spec: object) -> dict:
    return {
        "metadata": {"name": "orders", "namespace": "shop", "uid": "u1", "labels": {"app": "orders"}},
        "spec": {"serviceAccountName": "reader", "volumes": list(volumes), "containers": [{"name": "c"}], **spec},
    }


def made(volume: dict, tokens: dict | None = None, roots: tuple = (), **spec: object) -> object:
    owner = pod(volume, **spec)
    keys = dict.fromkeys(token_keys(owner), "the token") if tokens is None else tokens
    return content(owner, volume, REFERENCES, keys, PLACE, host_roots=roots)


@pytest.mark.parametrize(
    ("volume", "files"),
    [
        pytest.param({"secret": {"secretName": "vault"}}, {"key": File(b"s3"), "other": File(b"x")}, id="secret"),
        pytest.param(
            {"secret": {"secretName": "vault", "defaultMode": 0o400, "items": [{"key": "key", "path": "a/b"}]}},
            {"a/b": File(b"s3", 0o400)},
            id="secret-items",
        ),
        pytest.param(
            {"configMap": {"name": "settings", "items": [{"key": "b", "path": "b", "mode": 0o600}]}},
            {"b": File(b"\xff\xfe", 0o600)},
            id="config-map-binary-with-mode",
        ),
        pytest.param({"configMap": {"name": "none", "optional": True}}, {}, id="optional"),
        pytest.param(
            {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"labels": File(b'app="orders"')},
            id="downward-api",
        ),
        pytest.param(
            {
                "projected": {
                    "sources": [
                        {"configMap": {"name": "settings", "items": [{"key": "a", "path": "x"}]}},
                        {"secret": {"name": "vault", "items": [{"key": "key", "path": "x"}]}},
                        {"serviceAccountToken": {"path": "token"}},
                        {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
                    ]
                }
            },
            {"x": File(b"s3"), "token": File(b"the token"), "ns": File(b"shop")},
            id="projected-later-source-wins",
        ),
    ],
)
def test_files(volume: dict, files: dict) -> None:
    assert made({"name": "v", **volume}) == Files(files)


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"secret": {"secretName": "none"}}, 'secret "none" not found'),
        ({"configMap": {"name": "none"}}, 'configmap "none" not found'),
        (
            {"secret": {"secretName": "vault", "items": [{"key": "k", "path": "p"}]}},
            "references non-existent secret key: k",
        ),
        (
            {"configMap": {"name": "settings", "items": [{"key": "k", "path": "p"}]}},
            "references non-existent config key: k",
        ),
        (
            {"secret": {"secretName": "vault", "items": [{"key": "key", "path": "../x"}]}},
            "invalid path '../x': it must be relative and without '..'",
        ),
        (
            {"hostPath": {"path": "/etc"}},
            "hostPath /etc is not allowed: the lab shows pods only directories that its owner has listed",
        ),
        (
            {"csi": {"driver": "secrets-store.csi.k8s.io"}},
            "driver name secrets-store.csi.k8s.io not found in the list of registered CSI drivers:"
            " the lab's node has none yet",
        ),
        ({"persistentVolumeClaim": {"claimName": "c"}}, "the lab's node has no volumes of kind persistentVolumeClaim"),
    ],
)
def test_what_can_not_be_made(volume: dict, message: str) -> None:
    assert made({"name": "v", **volume}) == NotYet(message)


def test_directories() -> None:
    assert made({"name": "v", "emptyDir": {}}) == EmptyDirectory()
    assert made({"name": "v", "hostPath": {"path": "/srv/x"}}, roots=(Path("/srv"),)) == HostPath(Path("/srv/x"), False)
    assert isinstance(made({"name": "v", "hostPath": {"path": "/srv/../etc"}}, roots=(Path("/srv"),)), NotYet)


@pytest.mark.parametrize(
    ("spec", "mode"),
    [
        ({}, 0o644),
        ({"securityContext": {"fsGroup": 2000}}, 0o640),
        ({"securityContext": {"runAsUser": 1000}}, 0o600),
        ({"containers": [{"securityContext": {"runAsUser": 1}}, {"securityContext": {"runAsUser": 2}}]}, 0o644),
    ],
)
def test_a_token_is_private_to_the_user_the_pod_names(spec: dict, mode: int) -> None:
    volume = {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    assert made(volume, **spec) == Files({"token": File(b"the token", mode)})


def test_files_change_all_at_once(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    assert write(volume, {"token": File(b"one", 0o600), "deep/er": File(b"x")}, now=1_790_000_000.25)
    assert os.readlink(volume / "token") == "..data/token"
    first = os.readlink(volume / "..data")
    assert first.startswith("..2026_09_21_")
    assert (volume / "deep" / "er").read_bytes() == b"x"
    assert stat.S_IMODE((volume / "token").stat().st_mode) == 0o600

    assert not write(volume, {"token": File(b"one", 0o600), "deep/er": File(b"x")}, now=1_790_000_060)
    assert os.readlink(volume / "..data") == first

    assert write(volume, {"token": File(b"two", 0o600)}, now=1_790_000_120)
    assert (volume / "token").read_bytes() == b"two"
    assert sorted(entry.name for entry in volume.iterdir()) == ["..data", os.readlink(volume / "..data"), "token"] or (
        {entry.name for entry in volume.iterdir()} == {"..data", os.readlink(volume / "..data"), "token"}
    )


def test_a_changed_mode_is_a_change(tmp_path: Path) -> None:
    write(tmp_path, {"a": File(b"x", 0o644)}, now=1)
    assert write(tmp_path, {"a": File(b"x", 0o400)}, now=2)


@pytest.mark.parametrize(
    ("seconds", "jitter", "due"),
    [
        pytest.param(3600, 0, 2880, id="eighty-percent"),
        pytest.param(3600, 10, 2870, id="jitter-is-earlier"),
        pytest.param(200_000, 0, 86_400, id="a-day-at-most"),
        pytest.param(600, 0, 480, id="shortest"),
    ],
)
def test_a_token_is_refreshed(seconds: int, jitter: float, due: float) -> None:
    token = ProjectedToken("t", seconds, 1000.0, 1000.0 + seconds)
    assert refresh_at(token, jitter_seconds=jitter) == 1000 + due
    assert not is_expired(token, 999.0 + seconds)
    assert is_expired(token, 1000.0 + seconds)
