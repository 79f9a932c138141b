"""Which handler a path reaches, whatever tricks it plays."""

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from podpass.imds.requests import TOKEN_PATH
from podpass.nmi.paths import MAX_PATH, NotAPath, canonical
from podpass.nmi.routes import Handler, route


@pytest.mark.parametrize(
    ("path", "handler"),
    [
        ("/metadata/identity/oauth2/token", Handler.TOKEN),
        ("/metadata/identity/oauth2/token/", Handler.TOKEN),
        ("/metadata/identity/oauth2/token/more", Handler.TOKEN),
        ("/MetaData/identity/oauth2/token", Handler.TOKEN),
        ("/metadata/Identity/oauth2/token", Handler.INVALID),
        ("/metadata/identity/OAuth2/token", Handler.INVALID),
        ("/metadata/identity\\oauth2\\token", Handler.INVALID),
        ("\\metadata\\identity\\oauth2\\token", Handler.INVALID),
        ("/metadata/identity/./oauth2/token", Handler.INVALID),
        ("/metadata//identity/oauth2/token", Handler.INVALID),
        ("/metadata/instance/../identity/oauth2/token", Handler.INVALID),
        ("/metadata/%69dentity/oauth2/token", Handler.INVALID),
        ("/metadata/%2569dentity/oauth2/token", Handler.INVALID),
        ("/metadata/identity%2foauth2%2ftoken", Handler.INVALID),
        ("/metadata/identity%5coauth2%5ctoken", Handler.INVALID),
        ("/metadata/identity;x=1/oauth2/token", Handler.INVALID),
        ("/metadata/identity/oauth2/x/token", Handler.INVALID),
        ("/metadata./identity/oauth2/token", Handler.INVALID),
        ("/metadata/identity./oauth2/token", Handler.INVALID),
        ("/metadata/%ef%bc%8finstance", Handler.INVALID),
        ("/metadata/\xedinstance", Handler.INVALID),
        ("/metadata/identity/oauth2/to%E2%84%AAen", Handler.INVALID),
        ("/x/metadata/identity/oauth2/token", Handler.INVALID),
        ("/metadata/identity", Handler.INVALID),
        ("/metadata/identity/other", Handler.INVALID),
        ("/metadata/identity/info", Handler.PASS),
        ("/metadata/identity/info/../oauth2/token", Handler.INVALID),
        ("/metadata/identity/oauth2/token\x00", Handler.INVALID),
        ("/host/token", Handler.HOST_TOKEN),
        ("/host/token/", Handler.HOST_TOKEN),
        ("/metadata/../host/token", Handler.INVALID),
        ("/metadata/instance", Handler.PASS),
        ("/metadata/instance/compute/vmId", Handler.PASS),
        ("/metadata/versions", Handler.PASS),
        ("/", Handler.PASS),
        ("", Handler.PASS),
        ("/" + "a" * MAX_PATH, Handler.INVALID),
        ("/%" + "25" * 20 + "41", Handler.INVALID),
    ],
)
def test_the_path_decides(path: str, handler: Handler) -> None:
    assert route(path).handler is handler


@pytest.mark.parametrize(
    "path", ["/metadata/instance", "/METADATA/instance/compute", "/metadata/./instance", "/metadata\\instance"]
)
def test_the_instance_document_can_be_blocked(path: str) -> None:
    assert route(path, block_instance_metadata=True).handler is Handler.BLOCKED
    assert route(path).handler is Handler.PASS


def test_what_is_handed_on_is_what_was_decided_on() -> None:
    assert route("/metadata/x/../instance/compute//vmId;a").path == "/metadata/instance/compute/vmId"


SEGMENTS = st.sampled_from(
    ["metadata", "identity", "oauth2", "token", "instance", "info", "..", ".", "", "host", "x;y"]
)
SEPARATORS = st.sampled_from(["/", "\\", "//", "/./", "/x/../", "%2f", "%5c"])


@given(st.lists(st.tuples(SEPARATORS, SEGMENTS), max_size=8), st.integers(0, 3))
@example([("/", "metadata"), ("\\", "identity"), ("/", "oauth2"), ("/", "token")], 1)
def test_nothing_below_identity_is_handed_on_but_the_information(parts: list[tuple[str, str]], encodings: int) -> None:
    path = "".join(separator + segment for separator, segment in parts)
    for _ in range(encodings):
        path = quote(path, safe="")
    found = route(path)
    if found.handler is Handler.PASS:
        lowered = found.path.lower()
        assert not lowered.startswith("/metadata/identity") or lowered == "/metadata/identity/info"
        assert TOKEN_PATH not in lowered


@given(st.text(max_size=60))
def test_the_canonical_form_is_stable(path: str) -> None:
    try:
        found = canonical(path)
    except NotAPath:
        return
    assert found.startswith("/")
    assert "\\" not in found
    assert "//" not in found
    assert canonical(found) == found
