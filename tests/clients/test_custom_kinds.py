"""Custom resources with the libraries that operators are written with; each program is an ordinary one of its style."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.conftest import PROGRAMS, Operator
from tests.running_lab import RunningLab

SITES = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "sites.clients.example.test"},
    "spec": {
        "group": "clients.example.test",
        "scope": "Namespaced",
        "names": {"plural": "sites", "kind": "Site", "shortNames": ["si"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["title"],
                                "properties": {
                                    "title": {"type": "string"},
                                    "theme": {"type": "string", "enum": ["light", "dark"], "default": "light"},
                                },
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def sites(running_lab: RunningLab, tmp_path: Path) -> None:
    manifest = tmp_path / "sites.json"
    manifest.write_text(json.dumps(SITES))
    running_lab.kubectl("apply", "-f", str(manifest))
    running_lab.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/sites.clients.example.test")


@pytest.mark.usefixtures("sites")
def test_an_operator_written_with_kopf(
    running_lab: RunningLab, namespace: str, operator: Operator, tmp_path: Path
) -> None:
    def kubectl(line: str) -> str:
        return running_lab.kubectl("-n", namespace, *line.split())

    def titled(title: str) -> None:
        kubectl(f"wait site/web --timeout=30s --for=jsonpath={{.status.title}}={title}")
        assert kubectl("get cm web -o jsonpath={.data}") == f'{{"index.html":"{title}"}}'

    manifest = tmp_path / "site.json"
    site = {"apiVersion": "clients.example.test/v1", "kind": "Site", "metadata": {"name": "web"}}
    manifest.write_text(json.dumps(site | {"spec": {"title": "hello"}}))
    with operator(str(PROGRAMS / "site_operator.py"), "-n", namespace):
        kubectl(f"apply -f {manifest}")
        titled("hello")
        assert kubectl("get cm web -o jsonpath={.metadata.ownerReferences[0].kind}") == "Site"
        manifest.write_text(json.dumps(site | {"spec": {"title": "again"}}))
        kubectl(f"apply -f {manifest}")
        titled("again")
        kubectl("delete site web --timeout=30s")
        kubectl("wait --for=delete cm/web --timeout=30s")
        assert kubectl("get cm web-was-here -o name") == "configmap/web-was-here\n"


@pytest.mark.usefixtures("sites")
def test_a_program_written_with_lightkube(said: Callable[..., list[str]], namespace: str) -> None:
    assert said("sites_in_lightkube.py", namespace) == [
        "light 1",
        "2",
        "409 Conflict",
        "three",
        "415 UnsupportedMediaType",
        "{'title': 'seen'}",
        "409 .spec.title",
        "['light']",
    ]


@pytest.mark.usefixtures("sites")
def test_a_program_written_with_the_official_client(said: Callable[..., list[str]], namespace: str) -> None:
    assert said("sites_in_official_client.py", namespace) == [
        "[('theme', 'light'), ('title', 'a')]",
        "422 True True",
        "b",
        "{'title': 'b'}",
        "[('ADDED', 'own')]",
        "sites site ['si'] ['status']",
        "['own']",
        "dark",
        "Success",
    ]
