"""What volumes hold, and how their files change."""

import base64
import hashlib
import os
import stat
from pathlib import Path

import pytest

from podpass.lab.node.atomic_writer import write
from podpass.lab.node.container_environment import NotYet, References
from podpass.lab.node.fields import Place
from podpass.lab.node.host_paths import host_path
from podpass.lab.node.token_refresh import ProjectedToken, is_expired, refresh_at
from podpass.lab.node.volumes import Csi, EmptyDirectory, File, Files, HostPath, content, token_keys

PLACE = Place("lab-node", "10.244.0.1", "10.244.0.7", {})
REFERENCES = References(
    {"vault": {"data": {"key": base64.b64encode(b"s3").decode(), "other": "eA=="}}},
    {"settings": {"data": {"a": "one"}, "binaryData": {"b": "//4="}}},
    {
        "data": {"spec": {"volumeName": "pv1"}, "status": {"phase": "Bound"}},
        "far": {"spec": {"volumeName": "pv2"}, "status": {"phase": "Bound"}},
        "free": {"spec": {}, "status": {"phase": "Pending"}},
    },
    {"pv1": {"spec": {"hostPath": {"path": "/data"}}}, "pv2": {"spec": {"nfs": {}, "capacity": {}}}},
)


def pod(*volumes: dict, **spec: object) -> dict:
    return {
        "metadata": {"name": "orders", "namespace": "shop", "uid": "u1", "labels": {"app": "orders"}},
        "spec": {"serviceAccountName": "reader", "volumes": list(volumes), "containers": [{"name": "c"}], **spec},
    }


def made(volume: dict, tokens: dict | None = None, **spec: object) -> object:
    owner = pod(volume, **spec)
    keys = dict.fromkeys(token_keys(owner), "the token") if tokens is None else tokens
    return content(owner, volume, REFERENCES, keys, PLACE)


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
    ],
)
def test_what_can_not_be_made(volume: dict, message: str) -> None:
    assert made({"name": "v", **volume}) == NotYet(message)


def test_a_volume_without_a_source_is_an_empty_directory() -> None:
    assert made({"name": "v", "emptyDir": {}}) == EmptyDirectory()


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ({"hostPath": {"path": "/srv/x"}}, HostPath("/srv/x", "")),
        ({"hostPath": {"path": "/srv/x", "type": "Socket"}}, HostPath("/srv/x", "Socket")),
        ({"persistentVolumeClaim": {"claimName": "data"}}, HostPath("/data", "")),
        ({"persistentVolumeClaim": {"claimName": "none"}}, NotYet('persistentvolumeclaim "none" not found')),
        (
            {"persistentVolumeClaim": {"claimName": "free"}},
            NotYet("error processing PVC shop/free: PVC is not bound"),
        ),
        (
            {"persistentVolumeClaim": {"claimName": "far"}},
            NotYet("the lab's node has no persistent volumes of kind nfs"),
        ),
        ({"nfs": {}}, NotYet("the lab's node has no volumes of kind nfs")),
        (
            {"projected": {"sources": [{"clusterTrustBundle": {}}]}},
            NotYet("the lab's node projects no clusterTrustBundle"),
        ),
    ],
)
def test_volumes_that_the_node_does_not_write(volume: dict, expected: object) -> None:
    assert made({"name": "v", **volume}) == expected


def test_a_driver_is_told_of_the_pod() -> None:
    source = {"driver": "d", "readOnly": True, "volumeAttributes": {"a": "b"}, "nodePublishSecretRef": {"name": "s"}}
    found = made({"name": "v", "csi": source})
    assert isinstance(found, Csi)
    assert (found.driver, found.read_only, found.secret) == ("d", True, "s")
    assert found.id == "csi-" + hashlib.sha256(b"u1v").hexdigest()
    assert found.attributes == {
        "a": "b",
        "csi.storage.k8s.io/pod.name": "orders",
        "csi.storage.k8s.io/pod.namespace": "shop",
        "csi.storage.k8s.io/pod.uid": "u1",
        "csi.storage.k8s.io/serviceAccount.name": "reader",
        "csi.storage.k8s.io/ephemeral": "true",
    }


def test_the_group_of_the_volumes_may_read_every_file() -> None:
    found = made(
        {"name": "v", "secret": {"secretName": "vault", "defaultMode": 0o400}}, securityContext={"fsGroup": 2000}
    )
    assert isinstance(found, Files)
    assert {file.mode for file in found.files.values()} == {0o440}


@pytest.fixture
def node_root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "var/log").mkdir(parents=True)
    (root / "var/file").write_text("")
    (root / "logs").symlink_to("/var/log")
    (root / "away").symlink_to("../../../../..")
    (root / "round").symlink_to("round")
    return root


@pytest.mark.parametrize(
    ("path", "kind", "place"),
    [
        ("/var/log", "Directory", "var/log"),
        ("/logs", "Directory", "var/log"),
        ("/logs/../file", "File", "var/file"),
        ("/new/deep", "", "new/deep"),
        ("/new/deep", "DirectoryOrCreate", "new/deep"),
        ("/var/new", "FileOrCreate", "var/new"),
        ("/away/etc", "", "etc"),
        ("/../../etc", "", "etc"),
    ],
)
def test_a_host_path_is_in_the_nodes_own_file_system(node_root: Path, path: str, kind: str, place: str) -> None:
    assert host_path(path, kind, node_root=node_root, host_roots=()) == node_root / place
    assert (node_root / place).exists()


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/none", "Directory", "hostPath type check failed: /none is not a directory"),
        ("/var/file", "DirectoryOrCreate", "hostPath type check failed: /var/file is not a directory"),
        ("/var/log", "File", "hostPath type check failed: /var/log is not a file"),
        ("/var/log", "FileOrCreate", "hostPath type check failed: /var/log is not a file"),
        ("/none/new", "FileOrCreate", "hostPath type check failed: /none/new is not a file"),
        ("/var/file", "Socket", "hostPath type check failed: /var/file is not a socket file"),
        ("/var/file", "CharDevice", "hostPath type check failed: /var/file is not a character device"),
        ("/var/file", "BlockDevice", "hostPath type check failed: /var/file is not a block device"),
        ("/round", "", "hostPath /round: Too many levels of symbolic links"),
    ],
)
def test_a_host_path_of_another_type_is_refused(node_root: Path, path: str, kind: str, words: str) -> None:
    assert host_path(path, kind, node_root=node_root, host_roots=()) == NotYet(words)


def test_a_listed_directory_shows_as_it_is_but_leads_nowhere_else(node_root: Path, tmp_path: Path) -> None:
    listed = tmp_path / "listed"
    (listed / "inner").mkdir(parents=True)
    (listed / "away").symlink_to("/etc")
    assert host_path(f"{listed}/inner", "", node_root=node_root, host_roots=(listed,)) == listed / "inner"
    refused = host_path(f"{listed}/away", "", node_root=node_root, host_roots=(listed,))
    assert refused == NotYet(f"hostPath {listed}/away leads out of {listed}")


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
