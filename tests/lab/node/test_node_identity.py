"""As whom containers run, how pods are named, which Services they are told of: pure tables."""

import pytest

from podpass.lab.node.container_environment import NotYet
from podpass.lab.node.images import Catalogue, ResolvedImage
from podpass.lab.node.naming import hosts_file, kernel_hostname, resolver
from podpass.lab.node.security import GRANTED_CAPABILITIES, Identity, identity, withheld
from podpass.lab.node.service_links import service_variables


def pod(container: dict | None = None, **spec: object) -> dict:
    return {
        "metadata": {"name": "orders", "namespace": "shop", "uid": "u1"},
        "spec": {"containers": [{"name": "app", "securityContext": container or {}}], **spec},
    }


def found(container: dict | None = None, **shared: object) -> Identity | NotYet:
    owner = pod(container, securityContext=shared)
    image = Catalogue().resolve("busybox")
    assert isinstance(image, ResolvedImage)
    return identity(owner, owner["spec"]["containers"][0], image)


@pytest.mark.parametrize(
    ("own", "shared", "user", "group"),
    [
        ({}, {}, None, None),
        ({}, {"runAsUser": 1000, "runAsGroup": 2000}, 1000, 2000),
        ({"runAsUser": 7}, {"runAsUser": 1000, "runAsGroup": 2000}, 7, 2000),
        ({"runAsUser": 0}, {"runAsUser": 1000}, 0, None),
        ({"runAsNonRoot": False}, {"runAsNonRoot": True}, None, None),
        ({}, {"runAsNonRoot": True, "runAsUser": 1000}, 1000, None),
    ],
)
def test_a_containers_own_settings_win(own: dict, shared: dict, user: int | None, group: int | None) -> None:
    made = found(own, **shared)
    assert isinstance(made, Identity)
    assert (made.user, made.group) == (user, group)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"runAsUser": 0}, "container's runAsUser breaks non-root policy"),
        ({}, "container has runAsNonRoot and image will run as root"),
    ],
)
def test_root_may_be_forbidden(own: dict, words: str) -> None:
    assert found({**own, "runAsNonRoot": True}) == NotYet(f'{words} (pod: "orders_shop(u1)", container: app)')


@pytest.mark.parametrize(
    ("own", "names"),
    [
        ({}, {"NET_BIND_SERVICE", "NET_RAW"}),
        ({"capabilities": {"drop": ["ALL"]}}, set()),
        ({"capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}}, {"NET_RAW"}),
        ({"capabilities": {"drop": ["NET_RAW"]}}, {"NET_BIND_SERVICE"}),
        ({"capabilities": {"add": ["CAP_NET_ADMIN"]}}, {"NET_BIND_SERVICE", "NET_RAW", "NET_ADMIN"}),
        ({"capabilities": {"add": ["SYS_ADMIN"]}}, {"NET_BIND_SERVICE", "NET_RAW"}),
        ({"capabilities": {"add": ["ALL"], "drop": ["ALL"]}}, {name[4:] for name in GRANTED_CAPABILITIES}),
        ({"privileged": True}, {name[4:] for name in GRANTED_CAPABILITIES}),
        ({"runAsUser": 1000}, set()),
    ],
)
def test_capabilities(own: dict, names: set) -> None:
    made = found(own)
    assert isinstance(made, Identity)
    assert {name.removeprefix("CAP_") for name in made.capabilities} == names


@pytest.mark.parametrize(
    ("own", "spec", "words"),
    [
        ({}, {}, ""),
        ({"capabilities": {"add": ["NET_ADMIN"]}}, {}, ""),
        ({"capabilities": {"add": ["SYS_ADMIN", "BPF"]}}, {}, "not given: CAP_BPF, CAP_SYS_ADMIN"),
        ({"privileged": True}, {}, "privileged containers get power over their own pod only"),
        ({"allowPrivilegeEscalation": False}, {}, ""),
        ({"allowPrivilegeEscalation": True}, {}, "no program of the sandbox gains privileges"),
        ({}, {"shareProcessNamespace": True}, "containers do not share their processes"),
        (
            {},
            {"securityContext": {"fsGroup": 1, "supplementalGroups": [2]}},
            "fsGroup and supplementalGroups can't be shown: every file belongs to the container's own user",
        ),
    ],
)
def test_what_is_withheld_is_told(own: dict, spec: dict, words: str) -> None:
    assert withheld(pod(own, **spec), "sandbox") == words


def test_plain_processes_have_no_security_context() -> None:
    assert withheld(pod(), "plain") == ""
    assert "the lab's own user" in withheld(pod({"runAsUser": 1000}), "plain")


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({}, "orders"),
        ({"hostname": "web"}, "web"),
        ({"hostname": "web", "subdomain": "front"}, "web"),
        ({"hostname": "web", "subdomain": "front", "setHostnameAsFQDN": True}, "web.front.shop.svc.cluster.local"),
        ({"hostname": "web", "setHostnameAsFQDN": True}, "web"),
    ],
)
def test_the_kernels_host_name(spec: dict, name: str) -> None:
    assert kernel_hostname(pod(**spec)) == name


def test_a_full_name_that_the_kernel_can_not_hold() -> None:
    with pytest.raises(ValueError, match=r"is too long \(64 characters is the max, 69 characters requested\)"):
        kernel_hostname(pod(hostname="x" * 40, subdomain="front", setHostnameAsFQDN=True))


def test_the_hosts_file_has_the_pods_names_and_its_aliases() -> None:
    text = hosts_file(
        pod(subdomain="front", hostAliases=[{"ip": "10.1.2.3", "hostnames": ["db", "db.local"]}, {"ip": "10.1.2.4"}]),
        "10.244.0.7",
    )
    assert "10.244.0.7\torders.front.shop.svc.cluster.local\torders\n" in text
    assert text.endswith("# Entries added by HostAliases.\n10.1.2.3\tdb\tdb.local\n10.1.2.4\n")


SEARCH = "search shop.svc.cluster.local svc.cluster.local cluster.local"


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({}, f"{SEARCH}\nnameserver 10.244.0.1\noptions ndots:5\n"),
        ({"dnsPolicy": "ClusterFirstWithHostNet"}, f"{SEARCH}\nnameserver 10.244.0.1\noptions ndots:5\n"),
        ({"dnsPolicy": "Default"}, "nameserver 10.244.0.1\n"),
        (
            {
                "dnsPolicy": "None",
                "dnsConfig": {"nameservers": ["10.0.0.9"], "searches": ["example"], "options": [{"name": "rotate"}]},
            },
            "search example\nnameserver 10.0.0.9\noptions rotate\n",
        ),
        (
            {
                "dnsConfig": {
                    "nameservers": ["10.244.0.1", "10.0.0.9"],
                    "searches": ["cluster.local", "example"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
                }
            },
            f"{SEARCH} example\nnameserver 10.244.0.1\nnameserver 10.0.0.9\noptions ndots:2 edns0\n",
        ),
    ],
)
def test_the_resolvers_settings(spec: dict, text: str) -> None:
    assert str(resolver(pod(**spec), "10.244.0.1")) == text


def service(name: str, address: str | None, *ports: dict, namespace: str = "shop") -> dict:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": address, "ports": list(ports)}}


def test_services_are_told_of_as_ever() -> None:
    assert service_variables(
        [service("my-db", "10.96.0.7", {"port": 5432, "name": "sql-main"}, {"port": 53, "protocol": "UDP"})]
    ) == {
        "MY_DB_SERVICE_HOST": "10.96.0.7",
        "MY_DB_SERVICE_PORT": "5432",
        "MY_DB_SERVICE_PORT_SQL_MAIN": "5432",
        "MY_DB_PORT": "tcp://10.96.0.7:5432",
        "MY_DB_PORT_5432_TCP": "tcp://10.96.0.7:5432",
        "MY_DB_PORT_5432_TCP_PROTO": "tcp",
        "MY_DB_PORT_5432_TCP_PORT": "5432",
        "MY_DB_PORT_5432_TCP_ADDR": "10.96.0.7",
        "MY_DB_PORT_53_UDP": "udp://10.96.0.7:53",
        "MY_DB_PORT_53_UDP_PROTO": "udp",
        "MY_DB_PORT_53_UDP_PORT": "53",
        "MY_DB_PORT_53_UDP_ADDR": "10.96.0.7",
    }


@pytest.mark.parametrize(
    "quiet",
    [
        service("headless", "None", {"port": 1}),
        service("external", None, {"port": 1}),
        service("portless", "10.96.0.8"),
        service("kubernetes", "10.96.0.1", {"port": 443}, namespace="default"),
    ],
)
def test_services_without_an_address_of_their_own_are_not_told_of(quiet: dict) -> None:
    assert service_variables([quiet]) == {}
