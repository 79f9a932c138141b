"""Command lines of the original components, as their manifests and their chart write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass import cli
from podpass.settings.original_flags import MIC, NMI, Understood, understood


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--node=a", "--http-probe-port=8085"], Understood(("--node=a", "--http-probe-port=8085"))),
        (["-node", "a", "-forceNamespaced"], Understood(("--node", "a", "--forceNamespaced"))),
        (["-forceNamespaced=true"], Understood(("--forceNamespaced=true",))),
        (["--logtostderr", "-v=2", "-v", "3", "--v=0"], Understood(())),
        (["-v=5"], Understood(("--log-level=debug",))),
        (["--v=x"], Understood(("--v=x",))),
        (["--stderrthreshold", "2", "--node=a"], Understood(("--node=a",))),
        (["--log_dir=/tmp", "--alsologtostderr=false", "--node", "-1"], Understood(("--node", "-1"))),
        (["--version"], Understood((), asks_version=True)),
        (["-version=false"], Understood(())),
        (["cleanup", "--dry-run"], Understood(("cleanup", "--dry-run"))),
        (["-h"], Understood(("-h",))),
        (["--log-format", "json"], Understood((), ("--log-format has no effect: lines are JSON always",))),
    ],
)
def test_flags_of_the_original(arguments: list[str], expected: Understood) -> None:
    assert understood(arguments, NMI) == expected


def test_what_has_no_effect_is_said_where_somebody_would_look_for_one() -> None:
    found = understood(["--clientQps=20", "--config-map-name=c", "--enable-type-upgrade"], MIC)
    assert found.arguments == ()
    assert [note.partition(" has")[0] for note in found.notes] == ["--clientQps", "--enable-type-upgrade"]


@given(st.lists(st.text(max_size=12)))
def test_any_words_are_understood(words: list[str]) -> None:
    found = understood(words, NMI)
    assert understood(found.arguments, NMI).arguments == found.arguments


MANIFESTS = {
    "mic": [
        ["--cloudconfig={cloud}", "--logtostderr"],
        # The chart with everything set.
        [
            *("--cloudconfig={cloud}", "--logtostderr", "--log-format=json", "-v=5"),
            *("--leader-election-instance=mic-0", "--leader-election-namespace=default"),
            *(
                "--leader-election-name=aad-pod-identity-mic",
                "--leader-election-duration=15s",
                "--http-probe-port=8080",
            ),
            *("--createDeleteBatch=20", "--clientQps=5", "--immutable-user-msis=a,b", "--prometheus-port=8888"),
            *("--syncRetryDuration=3600s", "--update-user-msi-max-retry=2", "--update-user-msi-retry-interval=1s"),
            *("--identity-assignment-reconcile-interval=3m", "--custom-user-agent=shop", "-forceNamespaced"),
        ],
    ],
    "nmi": [
        ["--node=a", "--http-probe-port=8085", "--enableScaleFeatures=true", "--metadata-header-required=true"],
        [
            *("--host-ip=10.0.0.1", "--node=a", "--http-probe-port=8085", "--ipt-update-interval-sec=60"),
            *("--MICNamespace=default", "--retry-attempts-for-created=16", "--retry-attempts-for-assigned=4"),
            *("--find-identity-retry-interval=5", "--enableScaleFeatures=true", "--prometheus-port=9090"),
            *("--block-instance-metadata=true", "--metadata-header-required=true", "--log-format=text", "-v=2"),
            *("--operation-mode=managed", "--forceNamespaced", "--allow-network-plugin-kubenet=true"),
            *("--kubelet-config={cloud}", "--custom-user-agent=shop", "--set-retry-after-header=true"),
            "--enable-conntrack-deletion=true",
        ],
    ],
}


@pytest.mark.parametrize(
    ("component", "arguments"), [(name, arguments) for name, all_of in MANIFESTS.items() for arguments in all_of]
)
def test_the_originals_manifests_start_the_components(
    component: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("node") / "azure.json"
    file.write_text("{}")
    started: list[object] = []

    async def run_process(settings: object, **_: object) -> None:
        started.append(settings)

    monkeypatch.setattr(f"podpass.{component}.process.run_process", run_process)
    extra = [] if "--kubelet-config={cloud}" in arguments or component == "mic" else [f"--kubelet-config={file}"]
    assert cli.run([component, *(one.format(cloud=file) for one in arguments), *extra]) == 0
    assert len(started) == 1


def test_the_version_line_is_the_originals(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["nmi", "-version"]) == 0
    assert capsys.readouterr().out.startswith("MIC Version: ")


def test_a_flag_that_nobody_knows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["mic", "-nonsense=1"]) == 2
    assert "--nonsense" in capsys.readouterr().err
