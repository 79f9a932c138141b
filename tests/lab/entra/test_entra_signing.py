"""The authority's keys: kept, rotated, and gone when the last of their tokens has expired."""

import shutil
import stat
from pathlib import Path

import pytest

from podpass.lab.clock import LabClock
from podpass.lab.entra.access import Caller
from podpass.lab.entra.signing import FILE_NAME, KEPT_SECONDS, SigningKeys
from podpass.tokens import jwt
from podpass.tokens.keys import JwkSet, UnusableKey
from tests.lab.entra.entra_world import NOW, TENANT, World

VAULT_AUDIENCE = "https://vault.azure.net"


@pytest.fixture
def clock() -> LabClock:
    return LabClock(source=lambda: NOW)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with keys in it, which take some time to make."""
    directory = tmp_path_factory.mktemp("entra") / "keys"
    SigningKeys.load_or_create(directory, LabClock())
    return directory


@pytest.fixture
def kept(tmp_path: Path, clock: LabClock, made: Path) -> SigningKeys:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return SigningKeys.load_or_create(tmp_path, clock)


def states(keys: SigningKeys) -> list[tuple[str, str]]:
    return [(key["kid"], key["state"]) for key in keys.described()]


def test_the_keys_are_private_and_stay(made: Path, clock: LabClock) -> None:
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert stat.S_IMODE((made / FILE_NAME).stat().st_mode) == 0o600
    assert [path.name for path in made.iterdir()] == [FILE_NAME]
    first, again = SigningKeys.load_or_create(made, clock), SigningKeys.load_or_create(made, clock)
    assert states(again) == states(first)
    assert again.accepted.kids == tuple(kid for kid, _ in states(first))


@pytest.mark.parametrize("content", ["nonsense", "{}", '{"signing": "x", "upcoming": "x", "older": []}'])
def test_a_broken_file_is_not_replaced(tmp_path: Path, clock: LabClock, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    with pytest.raises(UnusableKey):
        SigningKeys.load_or_create(tmp_path, clock)
    assert (tmp_path / FILE_NAME).read_text() == content


async def test_the_next_key_was_published_before_it_signs(kept: SigningKeys) -> None:
    (first, _), (second, _) = states(kept)
    before = kept.accepted
    await kept.rotate()
    assert before.get(kept.signing.key.kid) is not None
    (signing, _), (third, _), (older, _) = states(kept)
    assert [state for _, state in states(kept)] == ["signing", "next", "older"]
    assert (signing, older) == (second, first)
    assert kept.accepted.kids == (second, third, first)


async def test_a_rotation_outlives_a_restart(tmp_path: Path, kept: SigningKeys, clock: LabClock) -> None:
    await kept.rotate()
    again = SigningKeys.load_or_create(tmp_path, clock)
    assert again.described() == kept.described()


async def test_an_older_key_leaves_when_its_tokens_have_expired(
    tmp_path: Path, kept: SigningKeys, clock: LabClock
) -> None:
    await kept.rotate()
    clock.advance(KEPT_SECONDS / 2)
    await kept.rotate()
    clock.advance(KEPT_SECONDS / 2 - 1)
    assert len(kept.published) == 4
    clock.advance(1)
    assert len(kept.published) == len(kept.accepted.keys) == 3
    clock.advance(KEPT_SECONDS / 2)
    assert [state for _, state in states(kept)] == ["signing", "next"]
    assert len(kept.published) == 2
    assert len(SigningKeys.load_or_create(tmp_path, clock).published) == 2


async def test_withdrawn_keys_leave_at_once(kept: SigningKeys) -> None:
    before = kept.accepted.kids
    await kept.rotate()
    await kept.rotate(withdraw=True)
    assert len(kept.published) == 2
    assert not set(kept.accepted.kids) & set(before)


async def test_a_rotation_that_cannot_be_kept_does_not_happen(tmp_path: Path, kept: SigningKeys) -> None:
    before = states(kept)
    shutil.move(tmp_path, tmp_path.with_name("elsewhere"))
    with pytest.raises(FileNotFoundError):
        await kept.rotate()
    assert states(kept) == before
    assert len(kept.published) == 2


async def test_old_and_new_tokens_are_good_while_their_keys_are_published(world: World) -> None:
    async def token() -> str:
        return str((await world.ask()).body["access_token"])

    def good(text: str) -> bool:
        found = world.entra.access_tokens.authenticate(f"Bearer {text}", audiences=[VAULT_AUDIENCE])
        return isinstance(found, Caller)

    old = await token()
    cached = JwkSet.from_dict((await world.send("GET", f"/{TENANT}/discovery/v2.0/keys")).body)
    described = await world.entra.rotate_keys()
    new = await token()
    assert good(old)
    assert good(new)
    assert jwt.decode(old).kid != jwt.decode(new).kid == described[0]["kid"]
    assert jwt.verify_signature(new, cached), "a client that keeps the key set need not fetch it anew"
    for page in (f"/{TENANT}/discovery/v2.0/keys", "/common/discovery/keys"):
        reply = await world.send("GET", page)
        assert [key["kid"] for key in reply.body["keys"]] == [key["kid"] for key in described]
        assert reply.headers["cache-control"] == "max-age=86400, private"
    assert "rotation of the signing keys" in [hop.what for hop in world.hops]
    # The last moment of a day-long token is the last of its key.
    world.clock.advance(KEPT_SECONDS - 1)
    assert good(old)
    world.clock.advance(1)
    assert not good(old)
    left = (await world.send("GET", "/common/discovery/keys")).body["keys"]
    assert [key["kid"] for key in left] == [key["kid"] for key in described[:2]]


async def test_what_a_withdrawn_key_signed_is_refused(world: World) -> None:
    token = (await world.ask()).body["access_token"]
    await world.entra.rotate_keys(withdraw=True)
    found = world.entra.access_tokens.authenticate(f"Bearer {token}", audiences=[VAULT_AUDIENCE])
    assert not isinstance(found, Caller)
    assert found.code == "bad-signature"
