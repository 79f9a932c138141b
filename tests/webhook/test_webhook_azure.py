"""The pod's mutation, row by row of the contract."""

import copy
import json

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.webhook.azure import (
    V1_VOLUME,
    V2_VOLUME_PREFIX,
    Denial,
    Mutation,
    mutate,
    token_volumes,
    working_name,
)
from podpass.webhook.settings import Layout, Settings

TENANT = "8d8ba3c5-6e2a-4e4e-9c3a-0d7f4f0a1b2c"
CLIENT = "11111111-2222-3333-4444-555555555555"
SETTINGS = Settings(tenant_id=TENANT)
V2 = Settings(tenant_id=TENANT, layout=Layout.V2)
BOTH = Settings(tenant_id=TENANT, layout=Layout.BOTH)
STRICT = Settings(tenant_id=TENANT, strict_annotations=True)
AUTHORITY = "https://login.microsoftonline.com/"
P = "azure.workload.identity/"


def account(**annotations: str) -> dict:
    values = {P + key.replace("_", "-"): value for key, value in annotations.items()}
    return {"metadata": {"name": "orders-sa", "namespace": "shop", "annotations": values}}


ACCOUNT = account(client_id=CLIENT)


def pod(*containers: dict, annotations: dict | None = None, name: str = "orders", **spec) -> dict:
    metadata = {"name": name, "labels": {P + "use": "true"}}
    if annotations is not None:
        metadata["annotations"] = {P + key: value for key, value in annotations.items()}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": list(containers) or [{"name": "app", "image": "app:1"}], **spec},
    }


def after(pod: dict, service_account: dict = ACCOUNT, settings: Settings = SETTINGS) -> dict:
    """The pod as the API server has it after applying the patch."""
    outcome = mutate(pod, service_account, settings)
    assert isinstance(outcome, Mutation)
    return jsonpatch.apply_patch(pod, copy.deepcopy(list(outcome.operations)))


def environment(container: dict) -> list[tuple[str, str]]:
    return [(entry["name"], entry.get("value")) for entry in container.get("env", [])]


def denial(pod: dict, service_account: dict = ACCOUNT, settings: Settings = SETTINGS) -> Denial:
    outcome = mutate(pod, service_account, settings)
    assert isinstance(outcome, Denial)
    return outcome


class TestLayouts:
    """Section 0: where the token lies, and what the variable says."""

    def test_v1_is_the_place_that_documentation_names(self):
        mutated = after(pod())
        container = mutated["spec"]["containers"][0]
        assert environment(container) == [
            ("AZURE_CLIENT_ID", CLIENT),
            ("AZURE_TENANT_ID", TENANT),
            ("AZURE_FEDERATED_TOKEN_FILE", "/var/run/secrets/azure/tokens/azure-identity-token"),
            ("AZURE_AUTHORITY_HOST", AUTHORITY),
        ]
        assert container["volumeMounts"] == [
            {"name": "azure-identity-token", "mountPath": "/var/run/secrets/azure/tokens", "readOnly": True}
        ]
        assert mutated["spec"]["volumes"] == [
            {
                "name": "azure-identity-token",
                "projected": {
                    "sources": [
                        {
                            "serviceAccountToken": {
                                "path": "azure-identity-token",
                                "expirationSeconds": 3600,
                                "audience": "api://AzureADTokenExchange",
                            }
                        }
                    ]
                },
            }
        ]

    def test_v2_has_a_reserved_volume_and_a_folder_in_it(self):
        mutated = after(pod(), settings=V2)
        name = "azure-workload-identity-reserved-1c168adb00d208e42f93314529f1fa"
        container = mutated["spec"]["containers"][0]
        assert dict(environment(container))["AZURE_FEDERATED_TOKEN_FILE"] == (
            "/var/run/secrets/azure/wi/token/azure-identity-token"
        )
        assert container["volumeMounts"] == [{"name": name, "mountPath": "/var/run/secrets/azure/wi", "readOnly": True}]
        (volume,) = mutated["spec"]["volumes"]
        assert volume["name"] == name
        assert volume["projected"]["sources"][0]["serviceAccountToken"]["path"] == "token/azure-identity-token"

    def test_both_mounts_two_places_and_points_at_v2(self):
        mutated = after(pod(), settings=BOTH)
        container = mutated["spec"]["containers"][0]
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == [
            "/var/run/secrets/azure/tokens",
            "/var/run/secrets/azure/wi",
        ]
        assert len(mutated["spec"]["volumes"]) == 2
        assert dict(environment(container))["AZURE_FEDERATED_TOKEN_FILE"].startswith("/var/run/secrets/azure/wi/")


@pytest.mark.parametrize(
    ("metadata", "volume"),
    [
        ({"name": "orders"}, "azure-workload-identity-reserved-1c168adb00d208e42f93314529f1fa"),
        ({"generateName": "orders-7f9c-"}, "azure-workload-identity-reserved-dec2c6156caba09f94e1aa667f3042"),
        ({}, "azure-workload-identity-reserved-7ae265465cf68a19ccd3c91d70dc31"),
    ],
)
def test_the_reserved_volume_is_named_after_the_working_name(metadata: dict, volume: str):
    (found,) = token_volumes(Layout.V2, working_name({"metadata": metadata}))
    assert found.name == volume
    assert len(found.name) == 63


class TestEnvironment:
    """Section 1.3."""

    @pytest.mark.parametrize(
        "entry",
        [
            {"name": "AZURE_CLIENT_ID", "value": "mine"},
            {"name": "AZURE_CLIENT_ID", "value": ""},
            {"name": "AZURE_CLIENT_ID"},
            {"name": "AZURE_CLIENT_ID", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
        ids=["value", "empty-value", "no-value", "value-from"],
    )
    def test_an_existing_entry_wins_and_stays_where_it_is(self, entry: dict):
        container = {"name": "app", "env": [entry, {"name": "X", "value": "1"}]}
        env = after(pod(container))["spec"]["containers"][0]["env"]
        assert env[0] == entry
        assert [e["name"] for e in env] == [
            "AZURE_CLIENT_ID",
            "X",
            "AZURE_TENANT_ID",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_AUTHORITY_HOST",
        ]

    def test_duplicates_of_the_user_stay_duplicates(self):
        entries = [{"name": "AZURE_TENANT_ID", "value": "a"}, {"name": "AZURE_TENANT_ID", "value": "b"}]
        env = after(pod({"name": "app", "env": entries}))["spec"]["containers"][0]["env"]
        assert env[:2] == entries
        assert [e["name"] for e in env].count("AZURE_TENANT_ID") == 2

    def test_env_from_is_neither_read_nor_touched(self):
        source = [{"configMapRef": {"name": "azure-settings"}}]
        container = after(pod({"name": "app", "envFrom": source}))["spec"]["containers"][0]
        assert container["envFrom"] == source
        assert ("AZURE_CLIENT_ID", CLIENT) in environment(container)

    @pytest.mark.parametrize(
        ("annotations", "tenant"),
        [
            ({}, TENANT),
            ({"tenant_id": "other"}, "other"),
            ({"tenant_id": ""}, None),
        ],
        ids=["the-webhooks", "the-accounts", "empty-wins"],
    )
    def test_the_tenant_is_the_accounts_if_the_key_exists(self, annotations: dict, tenant: str | None):
        container = after(pod(), account(client_id=CLIENT, **annotations))["spec"]["containers"][0]
        assert dict(environment(container)).get("AZURE_TENANT_ID") == tenant

    def test_the_authority_host_is_the_settings(self):
        private = Settings(tenant_id=TENANT, authority_host="https://login.lab.test/")
        container = after(pod(), settings=private)["spec"]["containers"][0]
        assert dict(environment(container))["AZURE_AUTHORITY_HOST"] == "https://login.lab.test/"

    def test_init_containers_get_everything_and_ephemeral_ones_nothing(self):
        ephemeral = [{"name": "debug"}]
        mutated = after(pod(initContainers=[{"name": "init"}], ephemeralContainers=ephemeral))
        init = mutated["spec"]["initContainers"][0]
        assert len(init["env"]) == 4
        assert len(init["volumeMounts"]) == 1
        assert mutated["spec"]["ephemeralContainers"] == ephemeral


class TestServiceAccountWithoutClientId:
    @pytest.mark.parametrize("service_account", [account(), account(client_id=""), {}, {"metadata": {}}])
    def test_the_pod_is_mutated_without_the_variable_and_its_creator_is_warned(self, service_account: dict):
        outcome = mutate(pod(), service_account, SETTINGS, namespace="shop")
        assert isinstance(outcome, Mutation)
        container = after(pod(), service_account)["spec"]["containers"][0]
        assert "AZURE_CLIENT_ID" not in dict(environment(container))
        assert len(container["env"]) == 3
        (warning,) = outcome.warnings
        assert "azure.workload.identity/client-id" in warning

    def test_no_warning_when_every_container_names_its_own(self):
        container = {"name": "app", "env": [{"name": "AZURE_CLIENT_ID", "value": "mine"}]}
        outcome = mutate(pod(container), account(), SETTINGS)
        assert outcome.warnings == ()

    def test_a_warning_is_never_longer_than_the_api_shows(self):
        long = {"metadata": {"name": "s" * 253, "namespace": "n" * 63}}
        outcome = mutate(pod(), long, SETTINGS)
        assert all(len(text) <= 256 for text in outcome.warnings)


class TestSkipContainers:
    @pytest.mark.parametrize(
        ("value", "injected"),
        [
            ("", ["init", "app", "side"]),
            ("side", ["init", "app"]),
            ("side;init", ["app"]),
            (" side ;\tinit ", ["app"]),
            (";;side;", ["init", "app"]),
            ("unknown", ["init", "app", "side"]),
            ("app;side;init", []),
            ("side,init", ["init", "app", "side"]),
        ],
    )
    def test_names_between_semicolons(self, value: str, injected: list[str]):
        given = pod(
            {"name": "app"}, {"name": "side"}, annotations={"skip-containers": value}, initContainers=[{"name": "init"}]
        )
        spec = after(given)["spec"]
        assert [c["name"] for c in spec["initContainers"] + spec["containers"] if c.get("env")] == injected
        assert [v["name"] for v in spec["volumes"]] == [V1_VOLUME], "the volume is added even if all are skipped"


class TestExpiration:
    @pytest.mark.parametrize(
        ("on_pod", "on_account", "seconds"),
        [
            (None, None, 3600),
            ("7200", None, 7200),
            (None, "7200", 7200),
            ("3600", "7200", 3600),
            ("", "7200", 7200),
            ("", "", 3600),
            ("+3600", None, 3600),
            ("003600", None, 3600),
            ("86400", None, 86400),
            ("3600", "rubbish", 3600),
        ],
    )
    def test_the_pods_beats_the_accounts_and_empty_counts_as_absent(self, on_pod, on_account, seconds):
        given = pod(annotations=None if on_pod is None else {"service-account-token-expiration": on_pod})
        more = {} if on_account is None else {"service_account_token_expiration": on_account}
        spec = after(given, account(client_id=CLIENT, **more))["spec"]
        token = spec["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]
        assert token["expirationSeconds"] == seconds

    @pytest.mark.parametrize(
        "text",
        [
            " 3600",
            "3600 ",
            "3_600",
            "3600.0",
            "1h",
            "0x1000",
            "+",
            "-",
            "٣٦٠٠",
            "3600\n",
            "9223372036854775808",
            "1" * 5000,
        ],
    )
    @pytest.mark.parametrize("where", ["pod", "account"])
    def test_the_integer_syntax_is_strict(self, text: str, where: str):
        name = "service-account-token-expiration"
        given = pod(annotations={name: text}) if where == "pod" else pod()
        holder = account(client_id=CLIENT, **({} if where == "pod" else {name.replace("-", "_"): text}))
        refused = denial(given, holder)
        assert refused.code == 400
        assert "parsing" in refused.message

    @pytest.mark.parametrize("text", ["3599", "86401", "0", "-3600", "600"])
    def test_out_of_range(self, text: str):
        refused = denial(pod(annotations={"service-account-token-expiration": text}))
        assert refused == Denial(400, f"token expiration {text} not valid. Expected value to be between 3600 and 86400")

    def test_a_bad_pod_value_is_fatal_even_if_the_accounts_is_good(self):
        given = pod(annotations={"service-account-token-expiration": "1h"})
        assert denial(given, account(client_id=CLIENT, service_account_token_expiration="7200")).code == 400


class TestProxy:
    """Section 1.10 is not built: a pod that asks is refused, and told why."""

    @pytest.mark.parametrize("value", ["true", "false", "", "no"])
    def test_presence_asks_whatever_the_value(self, value: str):
        refused = denial(pod(annotations={"inject-proxy-sidecar": value}))
        assert refused.code == 400
        assert "does not inject" in refused.message

    def test_host_network_is_refused_first(self):
        given = pod(annotations={"inject-proxy-sidecar": "true", "proxy-sidecar-port": "x"}, hostNetwork=True)
        assert denial(given) == Denial(400, "hostNetwork is set to true, cannot inject proxy sidecar")

    @pytest.mark.parametrize("port", ["", "http", " 8000", "80_00", "2147483648"])
    def test_a_port_that_is_no_number(self, port: str):
        given = pod(annotations={"inject-proxy-sidecar": "true", "proxy-sidecar-port": port})
        assert denial(given).message.startswith("failed to parse proxy sidecar port:")

    def test_the_port_is_not_read_when_no_proxy_is_asked_for(self):
        assert isinstance(mutate(pod(annotations={"proxy-sidecar-port": "x"}), ACCOUNT, SETTINGS), Mutation)

    def test_the_proxy_is_checked_before_the_expiration(self):
        given = pod(annotations={"inject-proxy-sidecar": "true", "service-account-token-expiration": "1h"})
        assert "does not inject" in denial(given).message

    def test_strict_takes_a_value_other_than_true_for_off_with_a_warning(self):
        outcome = mutate(pod(annotations={"inject-proxy-sidecar": "false"}), ACCOUNT, STRICT)
        assert isinstance(outcome, Mutation)
        assert "inject-proxy-sidecar" in outcome.warnings[0]
        assert denial(pod(annotations={"inject-proxy-sidecar": "TRUE"}), settings=STRICT).code == 400


class TestStrictIds:
    @pytest.mark.parametrize(
        ("service_account", "warned"),
        [
            (account(client_id=CLIENT), 0),
            (account(client_id="my-app"), 1),
            (account(client_id=CLIENT, tenant_id="contoso.onmicrosoft.com"), 0),
            (account(client_id=CLIENT, tenant_id="not a tenant"), 1),
            (account(client_id="my-app", tenant_id="-"), 2),
        ],
    )
    def test_ids_that_are_not_ids_are_warned_about_and_admitted(self, service_account: dict, warned: int):
        assert len(mutate(pod(), service_account, STRICT).warnings) == warned
        assert mutate(pod(), service_account, SETTINGS).warnings == ()


class TestMounts:
    """Sections 1.4 and 1.5: what carries our name is replaced in place, everything else is left alone."""

    def test_a_mount_of_that_name_is_replaced_whole_in_place(self):
        theirs = [
            {"name": V1_VOLUME, "mountPath": "/mine", "subPath": "x", "readOnly": False},
            {"name": "data", "mountPath": "/data"},
        ]
        mounts = after(pod({"name": "app", "volumeMounts": theirs}))["spec"]["containers"][0]["volumeMounts"]
        assert mounts == [
            {"name": V1_VOLUME, "mountPath": "/var/run/secrets/azure/tokens", "readOnly": True},
            theirs[1],
        ]

    def test_a_volume_of_that_name_is_replaced_whole_in_place(self):
        volumes = after(pod(volumes=[{"name": V1_VOLUME, "emptyDir": {}}, {"name": "data", "emptyDir": {}}]))["spec"][
            "volumes"
        ]
        assert "emptyDir" not in volumes[0]
        assert volumes[0]["projected"]["sources"]
        assert volumes[1] == {"name": "data", "emptyDir": {}}

    def test_another_volume_on_the_same_path_is_not_detected(self):
        theirs = {"name": "data", "mountPath": "/var/run/secrets/azure/tokens"}
        mounts = after(pod({"name": "app", "volumeMounts": [theirs]}))["spec"]["containers"][0]["volumeMounts"]
        assert len(mounts) == 2
        assert mounts[0] == theirs

    def test_the_audience_is_the_settings(self):
        ours = Settings(tenant_id=TENANT, audience="api://AzureADTokenExchangeUSGov")
        volume = after(pod(), settings=ours)["spec"]["volumes"][0]
        assert volume["projected"]["sources"][0]["serviceAccountToken"]["audience"] == "api://AzureADTokenExchangeUSGov"

    @pytest.mark.parametrize("absent", ["null", "[]"])
    def test_null_and_empty_lists_are_filled(self, absent):
        container = {"name": "app", "env": json.loads(absent), "volumeMounts": json.loads(absent)}
        given = pod(container, volumes=json.loads(absent), initContainers=json.loads(absent))
        mutated = after(given)
        assert len(mutated["spec"]["containers"][0]["env"]) == 4
        assert len(mutated["spec"]["volumes"]) == 1


class TestReservedVolumes:
    """Section 1.6: a manifest copied from a mutated pod to another name."""

    def test_a_copied_pod_loses_the_old_volume_and_its_mounts(self):
        copied = after(pod({"name": "app"}, {"name": "side"}, name="orders"), settings=V2)
        copied["metadata"]["name"] = "orders-debug"
        copied["metadata"]["annotations"] = {P + "skip-containers": "side"}
        mutated = after(copied, settings=V2)
        (volume,) = mutated["spec"]["volumes"]
        assert volume["name"] == token_volumes(Layout.V2, "orders-debug")[0].name
        app, side = mutated["spec"]["containers"]
        assert [mount["name"] for mount in app["volumeMounts"]] == [volume["name"]]
        assert side["volumeMounts"] == [], "a mount of a volume that is gone would make the pod invalid"

    def test_only_the_token_shape_is_taken_for_a_left_over(self):
        theirs = {"name": V2_VOLUME_PREFIX + "0" * 30, "emptyDir": {}}
        given = pod({"name": "app", "volumeMounts": [{"name": theirs["name"], "mountPath": "/x"}]}, volumes=[theirs])
        mutated = after(given, settings=V2)
        assert mutated["spec"]["volumes"][0] == theirs
        assert len(mutated["spec"]["containers"][0]["volumeMounts"]) == 2

    def test_a_v1_volume_stays_unless_the_paths_collide(self):
        copied = after(pod())
        kept = after(copied, settings=V2)
        assert kept["spec"]["volumes"][0]["name"] == V1_VOLUME
        copied["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] = "/var/run/secrets/azure/wi"
        replaced = after(copied, settings=V2)
        assert [volume["name"].startswith(V2_VOLUME_PREFIX) for volume in replaced["spec"]["volumes"]] == [True]
        assert len(replaced["spec"]["containers"][0]["volumeMounts"]) == 1

    def test_under_v1_a_reserved_volume_still_serves_its_variable(self):
        copied = after(pod(), settings=V2)
        mutated = after(copied, settings=SETTINGS)
        assert len(mutated["spec"]["volumes"]) == 2
        container = mutated["spec"]["containers"][0]
        assert dict(environment(container))["AZURE_FEDERATED_TOKEN_FILE"].startswith("/var/run/secrets/azure/wi/")


class TestReinvocation:
    """Section 1.7."""

    @pytest.mark.parametrize("settings", [SETTINGS, V2, BOTH], ids=["v1", "v2", "both"])
    def test_its_own_output_needs_no_patch(self, settings: Settings):
        assert mutate(after(pod(), settings=settings), ACCOUNT, settings).operations == ()

    def test_the_api_servers_default_mode_is_no_difference(self):
        mutated = after(pod())
        mutated["spec"]["volumes"][0]["projected"]["defaultMode"] = 420
        assert mutate(mutated, ACCOUNT, SETTINGS).operations == ()
        mutated["spec"]["volumes"][0]["projected"]["defaultMode"] = 256
        assert len(mutate(mutated, ACCOUNT, SETTINGS).operations) == 1

    def test_a_container_added_by_a_later_webhook_is_mutated_and_nothing_else(self):
        mutated = after(pod())
        mutated["spec"]["containers"].insert(0, {"name": "mesh"})
        operations = mutate(mutated, ACCOUNT, SETTINGS).operations
        assert {operation["path"].split("/")[3] for operation in operations} == {"0"}

    def test_a_correct_pod_still_passes_every_check(self):
        mutated = after(pod())
        mutated["metadata"]["annotations"] = {P + "service-account-token-expiration": "1h"}
        assert denial(mutated).code == 400


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"spec": {"containers": "app"}}, "/spec/containers"),
        ({"spec": {"containers": ["app"]}}, "/spec/containers"),
        ({"spec": {"containers": [{"name": 5}]}}, "name"),
        ({"spec": {"containers": [{"name": "a", "env": {}}]}}, "env"),
        ({"spec": {"containers": [], "volumes": {}}}, "/spec/volumes"),
        ({"spec": []}, "spec"),
        ({"metadata": {"annotations": {P + "skip-containers": 5}}}, "annotations"),
        ({"metadata": "x"}, "metadata"),
    ],
)
def test_a_malformed_pod_is_refused_with_the_members_name(change: dict, names: str):
    refused = denial({**pod(), **change})
    assert refused.code == 400
    assert names in refused.message


def test_audit_annotations_tell_the_identity_and_the_layout():
    assert dict(mutate(pod(), ACCOUNT, SETTINGS).audit) == {"layout": "v1", "client-id": CLIENT}


NAMES = st.sampled_from(["app", "side", V1_VOLUME, V2_VOLUME_PREFIX + "a" * 30, "AZURE_CLIENT_ID", "data", ""])
PATHS = st.sampled_from(["/x", "/var/run/secrets/azure/tokens", "/var/run/secrets/azure/wi"])
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
JUNK = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def maybe(value):
    return st.none() | value


def record(required=None, **optional):
    return st.fixed_dictionaries(required or {}, optional={**optional, "unknownMember": JUNK})


TOKEN_SOURCE = st.fixed_dictionaries(
    {"serviceAccountToken": record({"path": st.sampled_from(["azure-identity-token", "token/azure-identity-token"])})}
)
VOLUME = record({"name": NAMES}, emptyDir=st.just({}), projected=record(sources=st.lists(TOKEN_SOURCE, max_size=2)))
CONTAINER = record(
    {"name": NAMES},
    env=maybe(st.lists(record({"name": NAMES}, value=st.text(max_size=3)), max_size=3)),
    volumeMounts=maybe(st.lists(record({"name": NAMES, "mountPath": PATHS}), max_size=3)),
)
POD = record(
    {
        "metadata": record(name=st.sampled_from(["", "orders"]), generateName=st.just("orders-")),
        "spec": record(
            {"containers": st.lists(CONTAINER, min_size=1, max_size=3)},
            initContainers=maybe(st.lists(CONTAINER, max_size=2)),
            volumes=maybe(st.lists(VOLUME, max_size=4)),
        ),
    }
)
LAYOUTS = st.sampled_from([SETTINGS, V2, BOTH, STRICT])
MEMBERS = [
    "metadata",
    "spec",
    "annotations",
    "containers",
    "volumes",
    "env",
    "name",
    "projected",
    "sources",
    "volumeMounts",
]
SHAPELESS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*MEMBERS, P + "skip-containers", P + "inject-proxy-sidecar", P + "client-id"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(["metadata", "spec"]), SHAPELESS), SHAPELESS, LAYOUTS)
def test_no_json_makes_it_crash(pod, service_account, settings):
    holder = service_account if isinstance(service_account, dict) else {}
    assert isinstance(mutate(pod, holder, settings), Mutation | Denial)


@given(POD, LAYOUTS)
def test_a_second_run_on_the_patched_pod_has_nothing_to_do(pod, settings):
    before = copy.deepcopy(pod)
    mutated = after(pod, settings=settings)
    assert pod == before, "the pod given in is not changed"
    assert mutate(mutated, ACCOUNT, settings).operations == ()


def stripped(pod: dict) -> dict:
    """The pod without the members that the contract names."""
    pod = copy.deepcopy(pod)
    pod["spec"].pop("volumes", None)
    for group in ("initContainers", "containers"):
        for container in pod["spec"].get(group) or ():
            container.pop("env", None)
            container.pop("volumeMounts", None)
    return pod


@given(POD, LAYOUTS)
def test_nothing_else_changes_and_unknown_members_survive(pod, settings):
    mutated = after(pod, settings=settings)
    assert stripped(mutated) == stripped(pod)
    before = [c for g in ("initContainers", "containers") for c in pod["spec"].get(g) or ()]
    behind = [c for g in ("initContainers", "containers") for c in mutated["spec"].get(g) or ()]
    ours = {volume.name for volume in token_volumes(Layout.BOTH, working_name(pod))}
    for old, new in zip(before, behind, strict=True):
        assert (new.get("env") or [])[: len(old.get("env") or [])] == (old.get("env") or [])
        kept = [m for m in old.get("volumeMounts") or () if m["name"] not in ours | {V2_VOLUME_PREFIX + "a" * 30}]
        assert [
            m for m in new.get("volumeMounts") or () if m["name"] not in ours | {V2_VOLUME_PREFIX + "a" * 30}
        ] == kept


@given(POD, LAYOUTS)
def test_only_token_volumes_and_their_mounts_are_ever_removed(pod, settings):
    for operation in mutate(pod, ACCOUNT, settings).operations:
        assert operation["op"] in ("add", "replace", "remove")
        if operation["op"] == "remove":
            assert "/volumes/" in operation["path"] or "/volumeMounts/" in operation["path"]
