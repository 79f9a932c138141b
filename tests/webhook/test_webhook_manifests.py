"""The YAML of deploy/webhook and the objects in code are the same."""

from pathlib import Path

import pytest
import yaml

from podpass.webhook import manifests

DIRECTORY = Path(__file__).parents[2] / "deploy" / "webhook"


@pytest.mark.parametrize("name", manifests.files())
def test_each_file_is_what_the_code_says(name: str):
    assert list(yaml.safe_load_all((DIRECTORY / name).read_text())) == manifests.files()[name]


def test_there_are_no_other_files():
    assert {file.name for file in DIRECTORY.glob("*.yaml")} == set(manifests.files())


def test_the_registration_is_the_contracts():
    """Section 1.11."""
    configuration = manifests.webhook_configuration()
    assert configuration["metadata"]["name"] == "azure-wi-webhook-mutating-webhook-configuration"
    (webhook,) = configuration["webhooks"]
    assert webhook == {
        "name": "mutation.azure-workload-identity.io",
        "admissionReviewVersions": ["v1", "v1beta1"],
        "clientConfig": {
            "service": {
                "name": "azure-wi-webhook-webhook-service",
                "namespace": "azure-workload-identity-system",
                "path": "/mutate-v1-pod",
            }
        },
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {"matchLabels": {"azure.workload.identity/use": "true"}},
        "reinvocationPolicy": "IfNeeded",
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "sideEffects": "None",
    }


def test_a_webhook_outside_the_cluster_is_registered_by_url():
    (webhook,) = manifests.webhook_configuration(url="https://127.0.0.1:1/mutate-v1-pod", ca_bundle="Q0E=")["webhooks"]
    assert webhook["clientConfig"] == {"url": "https://127.0.0.1:1/mutate-v1-pod", "caBundle": "Q0E="}


def test_no_permission_is_spare():
    rules = manifests.role()["rules"] + manifests.cluster_role()["rules"]
    assert all("*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]] for rule in rules)
    for rule in rules:
        if set(rule["verbs"]) - {"get", "list", "watch"}:
            assert rule["resourceNames"], "writes are for named objects only"


def test_every_selector_finds_the_pods():
    template = manifests.deployment()["spec"]["template"]["metadata"]["labels"]
    for selector in (
        manifests.deployment()["spec"]["selector"]["matchLabels"],
        manifests.service()["spec"]["selector"],
        manifests.disruption_budget()["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= template.items()
