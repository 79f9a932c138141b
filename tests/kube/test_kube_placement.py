"""Which nodes the spec of a pod lets it be on, as tables."""

from typing import Any

import pytest

from podpass.kube.placement import term_matches, tolerates, untolerated, wants

LABELS = {"zone": "a", "cpus": "8"}


def one(operator: str, key: str = "zone", *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def required(*terms: dict[str, Any]) -> dict[str, Any]:
    nodes = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"affinity": {"nodeAffinity": nodes}}


@pytest.mark.parametrize(
    ("term", "matches"),
    [
        pytest.param(one("In", "zone", "a", "b"), True, id="in"),
        pytest.param(one("In", "other", "a"), False, id="in-without-the-label"),
        pytest.param(one("NotIn", "zone", "a"), False, id="not-in"),
        pytest.param(one("NotIn", "other", "a"), True, id="not-in-without-the-label"),
        pytest.param(one("Exists"), True, id="exists"),
        pytest.param(one("DoesNotExist"), False, id="does-not-exist"),
        pytest.param(one("Gt", "cpus", "7"), True, id="greater-as-numbers"),
        pytest.param(one("Lt", "cpus", "10"), True, id="less-as-numbers"),
        pytest.param(one("Gt", "zone", "7"), False, id="a-label-that-is-no-number"),
        pytest.param({"matchFields": one("In", "metadata.name", "n1")["matchExpressions"]}, True, id="by-name"),
        pytest.param(
            {**one("Exists"), "matchFields": one("In", "metadata.name", "n2")["matchExpressions"]}, False, id="both"
        ),
        pytest.param({}, False, id="nothing-asked-for-matches-nothing"),
    ],
)
def test_when_a_term_matches(term: dict[str, Any], matches: bool) -> None:
    assert term_matches(term, "n1", LABELS) is matches


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        pytest.param({}, True, id="any-node"),
        pytest.param({"nodeSelector": {"zone": "a"}}, True, id="selector"),
        pytest.param({"nodeSelector": {"zone": "a", "disk": "fast"}}, False, id="selector-of-another"),
        pytest.param(required(one("DoesNotExist"), one("Exists")), True, id="one-term-is-enough"),
        pytest.param(required(), False, id="no-terms-match-nothing"),
        pytest.param({"nodeSelector": {"zone": "b"}, **required(one("Exists"))}, False, id="selector-and-affinity"),
    ],
)
def test_selector_and_affinity_must_both_be_met(spec: dict[str, Any], wanted: bool) -> None:
    assert wants(spec, "n1", LABELS) is wanted


TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        pytest.param({"key": "gpu", "value": "yes"}, True, id="equal-by-default"),
        pytest.param({"key": "gpu", "operator": "Equal", "value": "no"}, False, id="another-value"),
        pytest.param({"key": "gpu", "operator": "Exists"}, True, id="any-value"),
        pytest.param({"key": "cpu", "operator": "Exists"}, False, id="another-key"),
        pytest.param({"operator": "Exists"}, True, id="everything"),
        pytest.param({"operator": "Equal", "value": "yes"}, False, id="a-value-without-a-key"),
        pytest.param({"key": "gpu", "value": "yes", "effect": "NoExecute"}, False, id="another-effect"),
    ],
)
def test_when_a_taint_is_tolerated(toleration: dict[str, str], tolerated: bool) -> None:
    assert tolerates(toleration, TAINT) is tolerated


def test_a_taint_that_only_prefers_keeps_no_pod_away() -> None:
    soft = {"key": "slow", "effect": "PreferNoSchedule"}
    assert untolerated([soft, TAINT], []) == [TAINT]
