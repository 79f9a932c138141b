"""Archives from disk become entries of the catalogue, whole or not at all."""

import gzip
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from podpass.lab.node.images import Catalogue, NoImage, ResolvedImage
from podpass.lab.node.images.adding import Added, add_archive, add_entry, named, remove
from podpass.lab.node.images.documents import Platform, UnusableImage
from podpass.lab.node.images.kept import IndexUnreadable, Kept, KeptEntry
from podpass.lab.node.images.references import is_reference, tagged
from podpass.lab.node.images.users import NoUser, User, find_user
from tests.lab.node.image_archives import HERE, Made, digest, layout, saved, several_platforms, tar, tarred

CONFIG = {
    "Entrypoint": ["/run"],
    "Cmd": ["serve", "--port=80"],
    "Env": ["PATH=/opt/bin:/bin", "GREETING=a=b"],
    "WorkingDir": "/srv",
    "User": "app",
    "StopSignal": "SIGQUIT",
    "ExposedPorts": {"80/tcp": {}},
    "Labels": None,
}
SHOP = Made([tar(("run", "#!/bin/sh\n")), tar(("srv/page", "hello"))], CONFIG, ["ghcr.io/acme/shop:1.0"])
OTHER = Made([tar(("other", "x"))], {}, ["other:2"], pack=lambda layer: layer)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "node" / "images")


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue.of(tmp_path / "node")


def add(kept: Kept, path: Path, *names: str, platform: Platform = HERE) -> list[Added]:
    return add_archive(kept, path, names=names, platform=platform, now="2026-01-01T00:00:00Z")


FORMS = {
    "layout": lambda place: layout(place / "shop", SHOP),
    "layout-tar": lambda place: tarred(layout(place / "shop", SHOP), place / "shop.tar"),
    "saved": lambda place: saved(place / "shop.tar", SHOP),
    "saved-gzip": lambda place: _gzipped(saved(place / "shop.tar", SHOP)),
    "index-of-platforms": lambda place: several_platforms(
        place / "shop", SHOP.names[0], Made(SHOP.layers, CONFIG, platform=Platform("linux", "s390x")), SHOP
    ),
}


def _gzipped(path: Path) -> Path:
    packed = path.with_suffix(".tar.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return packed


@pytest.mark.parametrize("form", FORMS)
def test_an_archive_in_each_form_is_an_image_with_its_own_root(tmp_path, kept, catalogue, form: str) -> None:
    (added,) = add(kept, FORMS[form](tmp_path))
    assert (added.names, added.unpacked) == (("ghcr.io/acme/shop:1.0",), True)
    found = catalogue.resolve("ghcr.io/acme/shop:1.0")
    assert isinstance(found, ResolvedImage)
    assert found.root is not None
    assert (found.root / "srv/page").read_text() == "hello"
    assert found.argv((), ()) == ("/run", "serve", "--port=80")
    assert found.argv((), ("x",)) == ("/run", "x")
    assert found.environment == {"PATH": "/opt/bin:/bin", "GREETING": "a=b"}
    assert (found.working_directory, found.user, found.stop_signal) == ("/srv", "app", "SIGQUIT")
    if form.startswith("saved"):
        assert found.image_id == SHOP.image_digest
    else:
        assert found.image_id.startswith("ghcr.io/acme/shop@sha256:")
        assert isinstance(catalogue.resolve(found.image_id), ResolvedImage)
    assert isinstance(catalogue.resolve("ghcr.io/acme/shop:1.1"), NoImage)
    assert isinstance(catalogue.resolve(f"ghcr.io/acme/shop@{digest(b'another')}"), NoImage)


def test_the_same_image_is_unpacked_once_whatever_it_is_called(tmp_path, kept, catalogue) -> None:
    add(kept, layout(tmp_path / "a", SHOP))
    (again,) = add(kept, saved(tmp_path / "b.tar", SHOP), "docker.io/library/shop", "shop:stable")
    assert not again.unpacked
    assert again.names == ("ghcr.io/acme/shop:1.0", "shop:latest", "shop:stable")
    roots = {catalogue.resolve(name).root for name in ("ghcr.io/acme/shop:1.0", "shop", "library/shop:stable")}
    assert len(roots) == 1


def test_an_archive_with_several_images_brings_them_all(tmp_path, kept, catalogue) -> None:
    two = Made(OTHER.layers, {}, ["other:2", "other:latest"], pack=OTHER.pack)
    assert len(add(kept, layout(tmp_path / "both", SHOP, two))) == 2
    for name in ("ghcr.io/acme/shop:1.0", "other:2", "other"):
        assert isinstance(catalogue.resolve(name), ResolvedImage)


def test_an_added_image_comes_before_the_entry_that_the_lab_brings(tmp_path, kept, catalogue) -> None:
    assert catalogue.resolve("python:3.12").root is None
    add(kept, layout(tmp_path / "a", OTHER), "python:3.12")
    assert catalogue.resolve("python:3.12").root is not None
    assert catalogue.resolve("python:3.13").root is None


def broken(change: str):
    """A layout of SHOP with one thing wrong."""

    def make(place: Path) -> Path:
        made = layout(place / "shop", SHOP)
        blobs, descriptor = SHOP.blobs()
        layer = next(name for name, data in blobs.items() if data[:2] == b"\x1f\x8b")
        target = made / "blobs" / "sha256" / (descriptor["digest"] if change == "manifest" else layer)[7:]
        if change == "gone":
            target.unlink()
        elif change == "index":
            (made / "index.json").write_text('{"manifests": [{"digest": "md5:1", "size": 1}]}')
        elif change == "large":
            (made / "index.json").write_text('{"manifests": [' + " " * 5_000_000 + "]}")
        elif change == "deep":
            (made / "index.json").write_text("[" * 200_000)
        else:
            target.write_bytes(target.read_bytes()[:-9] + b"123456789")
        return made

    return make


def text(content: str | bytes):
    def make(place: Path) -> Path:
        path = place / "x"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


ELSEWHERE = Made(SHOP.layers, CONFIG, ["elsewhere:1"], platform=Platform("linux", "s390x"))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(broken("manifest"), "is damaged", id="manifest"),
        pytest.param(broken("layer"), "damaged|cut off", id="layer"),
        pytest.param(broken("gone"), "the archive lacks blobs/sha256/", id="gone"),
        pytest.param(broken("index"), "no SHA-256 digest", id="index"),
        pytest.param(broken("large"), "is larger than", id="large"),
        pytest.param(broken("deep"), "no JSON", id="deep"),
        pytest.param(text("no archive, only text. " * 40), "no usable tar archive", id="text"),
        pytest.param(text(tar(("readme", "x"))), "neither an index.json", id="other-tar"),
        pytest.param(text(b""), "neither an index.json", id="empty"),
        pytest.param(text(b"\x1f\x8b\x08broken"), "damaged|cut off", id="gzip"),
        pytest.param(lambda place: layout(place / "x", Made(SHOP.layers)), "--as", id="no-name"),
        pytest.param(lambda place: layout(place / "x", Made(SHOP.layers, names=["latest"])), "--as", id="only-a-tag"),
        pytest.param(lambda place: layout(place / "x"), "holds no image", id="no-image"),
        pytest.param(lambda place: layout(place / "x", ELSEWHERE), "the archive has linux/s390x", id="platform"),
        pytest.param(lambda place: saved(place / "x", ELSEWHERE), "the archive has linux/s390x", id="saved-platform"),
    ],
)
def test_an_archive_that_is_not_right_changes_nothing(tmp_path, kept, catalogue, make, reason: str) -> None:
    add(kept, layout(tmp_path / "before", OTHER))
    before = sorted(os.listdir(kept.directory))
    with pytest.raises(UnusableImage, match=reason):
        add(kept, make(tmp_path))
    assert sorted(os.listdir(kept.directory)) == before
    assert list(kept.index().names) == ["other:2"]


def test_one_bad_image_of_several_keeps_all_out(tmp_path, kept) -> None:
    place = layout(tmp_path / "x", OTHER, SHOP)
    blobs, _ = SHOP.blobs()
    layer = next(name for name, data in blobs.items() if data[:2] == b"\x1f\x8b")
    (place / "blobs" / "sha256" / layer[7:]).write_bytes(b"other")
    with pytest.raises(UnusableImage):
        add(kept, place)
    assert not kept.index().names


def test_a_process_that_is_killed_while_it_unpacks_leaves_nothing(tmp_path, kept) -> None:
    pipe = tmp_path / "shop"
    layout(pipe, SHOP)
    blobs, _ = SHOP.blobs()
    layer = [name for name, data in blobs.items() if data[:2] == b"\x1f\x8b"][1]
    place = pipe / "blobs" / "sha256" / layer[7:]
    place.unlink()
    # The second layer never comes: whoever unpacks waits in the middle.
    os.mkfifo(place)
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from podpass.lab.node.images.adding import add_archive
        from podpass.lab.node.images.kept import Kept
        from tests.lab.node.image_archives import HERE
        add_archive(Kept(Path(sys.argv[1])), Path(sys.argv[2]), platform=HERE, now="")
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(kept.directory), str(pipe)], cwd=Path(__file__).parents[3]
    )
    # Opening the writing end returns once the reader is there: the first layer is unpacked by then.
    writer = os.open(place, os.O_WRONLY)
    assert [name for name in os.listdir(kept.directory) if name.startswith(".new-")]
    process.send_signal(signal.SIGKILL)
    process.wait()
    os.close(writer)
    assert not kept.index().names
    add(kept, layout(tmp_path / "other", OTHER))
    assert not [name for name in os.listdir(kept.directory) if name.startswith(".new-")]


def test_what_no_name_refers_to_is_removed_unless_it_is_in_use(tmp_path, kept, catalogue) -> None:
    add(kept, layout(tmp_path / "a", SHOP), "shop:2")
    root = catalogue.resolve("shop:2").root
    remove(kept, ["shop:2"], in_use=frozenset)
    assert isinstance(catalogue.resolve("shop:2"), NoImage)
    assert root.is_dir()
    remove(kept, ["ghcr.io/acme/shop:1.0"], in_use=lambda: frozenset([root]))
    assert isinstance(catalogue.resolve("ghcr.io/acme/shop:1.0"), NoImage)
    assert root.is_dir()
    # Added again meanwhile, it is the same root.
    (again,) = add(kept, layout(tmp_path / "b", SHOP))
    assert not again.unpacked
    remove(kept, again.names, in_use=frozenset)
    assert not root.exists()


def test_a_starting_lab_removes_what_no_name_refers_to_unless_somebody_is_at_work(tmp_path, kept, catalogue) -> None:
    add(kept, layout(tmp_path / "a", SHOP), "shop:2")
    root = catalogue.resolve("shop:2").root
    remove(kept, ["shop:2", "ghcr.io/acme/shop:1.0"], in_use=lambda: frozenset([root]))
    add(kept, layout(tmp_path / "b", OTHER))
    with kept.changing():
        kept.sweep()
    assert root.is_dir()
    kept.sweep()
    assert not root.exists()
    assert catalogue.resolve("other:2").root.is_dir()
    Kept(tmp_path / "nowhere").sweep()
    assert not (tmp_path / "nowhere").exists()


def test_an_entry_without_an_archive_is_an_image_too(tmp_path, kept, catalogue) -> None:
    add_entry(kept, KeptEntry(pattern="ghcr.io/acme/tool", added="", command=("env",), environment={"A": "1"}))
    found = catalogue.resolve("ghcr.io/acme/tool:7")
    assert found.argv((), ()) == ("env",)
    assert found.environment["A"] == "1"
    root = tmp_path / "root"
    root.mkdir()
    add_entry(kept, KeptEntry(pattern="ghcr.io/acme/tool", added="", root=str(root), command=("/x",)))
    assert catalogue.resolve("ghcr.io/acme/tool:7").root == root
    assert len(kept.index().entries) == 1
    with pytest.raises(UnusableImage, match="not a directory"):
        add_entry(kept, KeptEntry(pattern="x", added="", root="/no/such/root"))
    root.rmdir()
    assert "is not a directory" in catalogue.resolve("ghcr.io/acme/tool:7").message


def test_images_are_found_by_name_and_by_the_first_digits_of_their_digest(tmp_path, kept) -> None:
    add(kept, layout(tmp_path / "a", SHOP), "shop")
    index = kept.index()
    assert named(index, "docker.io/library/shop") == ["shop:latest"]
    assert sorted(named(index, SHOP.image_digest[:19])) == ["ghcr.io/acme/shop:1.0", "shop:latest"]
    assert named(index, SHOP.image_digest[7:10]) == []
    assert named(index, "shop:2") == []


@pytest.mark.parametrize("content", ["{", '{"names": {"a:1": "sha256:0"}}', "[]"])
def test_a_damaged_index_is_told(kept, catalogue, content: str) -> None:
    kept.directory.mkdir(parents=True)
    (kept.directory / "index.json").write_text(content)
    with pytest.raises(IndexUnreadable, match=r"index\.json"):
        kept.index()
    assert "index.json" in catalogue.resolve("busybox").message


def test_the_list_says_where_everything_comes_from(tmp_path, kept, catalogue) -> None:
    add(kept, layout(tmp_path / "a", SHOP))
    (tmp_path / "node" / "images.yaml").write_text("- {pattern: mine, command: [x]}")
    lines = {line.name: line for line in catalogue.listed()}
    assert (lines["ghcr.io/acme/shop:1.0"].origin, lines["mine"].origin) == ("added", "images.yaml")
    assert lines["busybox"].origin == "built in"
    assert lines["ghcr.io/acme/shop:1.0"].kept.size > 0


def test_an_image_that_is_missing_says_how_to_add_it(catalogue) -> None:
    message = catalogue.resolve("ghcr.io/acme/none:1").message
    assert "podpass lab image add ARCHIVE --as ghcr.io/acme/none" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", User(0, 0, "/root")),
        ("app", User(1000, 1001, "/home/app")),
        ("1000", User(1000, 1001, "/home/app")),
        ("4242", User(4242, 0, "/")),
        ("app:50", User(1000, 50, "/home/app")),
        ("app:staff", User(1000, 60, "/home/app")),
        ("nobody-such", "unable to find user nobody-such"),
        ("app:none", "unable to find group none"),
    ],
)
def test_the_images_user_is_looked_up_in_its_own_files(tmp_path: Path, text: str, expected) -> None:
    (tmp_path / "usr").mkdir()
    # As an image may have it; the machine's own file must not be read instead.
    (tmp_path / "etc").symlink_to("/usr")
    (tmp_path / "usr/passwd").write_text("root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/x\nshort:x\n")
    (tmp_path / "usr/group").write_text("staff:x:60:\n")
    if isinstance(expected, str):
        with pytest.raises(NoUser, match=expected):
            find_user(tmp_path, text)
    else:
        assert find_user(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("busybox", True),
        ("localhost:5000/a/b:v1", True),
        ("ghcr.io/acme/shop@" + digest(b""), True),
        ("a__b/c-d.e", True),
        ("Busybox", False),
        ("busybox:", False),
        ("a//b", False),
        ("-x", False),
        ("busybox:::", False),
        ("", False),
        ("a" * 600, False),
    ],
)
def test_which_texts_can_name_an_image(text: str, valid: bool) -> None:
    assert is_reference(text) is valid


def test_names_that_mean_the_same_are_one() -> None:
    assert {tagged(name) for name in ("redis", "redis:latest", "docker.io/redis", "library/redis")} == {"redis:latest"}
