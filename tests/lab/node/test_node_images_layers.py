"""Layers become a root directory: what they bring, take away, and can't reach."""

import gzip
import io
import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podpass.lab.node.images.documents import UnusableImage
from podpass.lab.node.images.layers import Layers, Limits
from podpass.lab.node.images.tar import BadTar, TarReader
from tests.lab.node.image_archives import digest, tar

SMALL = Limits(unpacked_bytes=1_000_000, entries=50, ratio=20, ratio_free_bytes=100_000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "image" / "root"
    place.mkdir(parents=True)
    (tmp_path / "image" / "outside").write_text("untouched")
    return place


def unpack(root: Path, *layers: bytes, limits: Limits = SMALL) -> Layers:
    unpacking = Layers(root, limits)
    for layer in layers:
        unpacking.apply(io.BytesIO(layer))
    return unpacking


def tree(root: Path) -> dict[str, str]:
    found = {}
    for place in sorted(root.rglob("*")):
        name = str(place.relative_to(root))
        if place.is_symlink():
            found[name] = f"-> {os.readlink(place)}"
        elif place.is_dir():
            found[name + "/"] = ""
        else:
            found[name] = place.read_text()
    return found


def test_a_layer_brings_files_directories_and_links(root: Path) -> None:
    unpack(
        root,
        tar(
            ("./etc/", None),
            ("etc/motd", "hello"),
            ("etc/issue", ("hard", "etc/motd")),
            ("/bin", ("link", "/usr/bin")),
            ("a/b/c", "x"),
        ),
    )
    assert tree(root) == {"a/": "", "a/b/": "", "a/b/c": "x", "bin": "-> /usr/bin", "etc/": ""} | {
        "etc/motd": "hello",
        "etc/issue": "hello",
    }
    assert (root / "etc/motd").stat().st_ino == (root / "etc/issue").stat().st_ino
    assert (root / "etc/motd").stat().st_mtime == 1_700_000_000


@pytest.mark.parametrize(
    ("upper", "expected"),
    [
        pytest.param([("a/.wh.one", "")], {"a/": "", "a/two": "2"}, id="whiteout-of-a-file"),
        pytest.param([(".wh.a", "")], {}, id="whiteout-of-a-directory"),
        pytest.param([(".wh.nothing", "")], {"a/": "", "a/one": "1", "a/two": "2"}, id="whiteout-of-nothing"),
        pytest.param([("a/.wh..wh..opq", ""), ("a/new", "n")], {"a/": "", "a/new": "n"}, id="opaque-first"),
        pytest.param([("a/new", "n"), ("a/.wh..wh..opq", "")], {"a/": "", "a/new": "n"}, id="opaque-last"),
        pytest.param([("a/one", "new"), ("a/.wh.one", "")], {"a/": "", "a/one": "new", "a/two": "2"}, id="own-file"),
        pytest.param([("a/b/c", "n"), (".wh.a", "")], {"a/": "", "a/b/": "", "a/b/c": "n"}, id="own-directory"),
        pytest.param([("a", "file")], {"a": "file"}, id="a-file-over-a-directory"),
        pytest.param([("a/one", None)], {"a/": "", "a/one/": "", "a/two": "2"}, id="a-directory-over-a-file"),
        pytest.param([("a/one/x", "n")], {"a/": "", "a/one/": "", "a/one/x": "n", "a/two": "2"}, id="below-a-file"),
        pytest.param([("a", None)], {"a/": "", "a/one": "1", "a/two": "2"}, id="a-directory-again"),
        pytest.param([("a/.wh..wh.plnk/1.2", "x")], {"a/": "", "a/one": "1", "a/two": "2"}, id="aufs-notes"),
    ],
)
def test_upper_layers_change_lower_ones(root: Path, upper: list, expected: dict[str, str]) -> None:
    unpack(root, tar(("a/one", "1"), ("a/two", "2")), tar(*upper))
    got = tree(root)
    got.pop("a/.wh..wh.plnk/", None)
    assert {name: text for name, text in got.items() if ".wh." not in name} == expected


def test_links_of_lower_layers_are_followed_inside_the_root(root: Path) -> None:
    unpack(
        root,
        tar(("usr/bin", None), ("bin", ("link", "usr/bin")), ("up", ("link", "../../.."))),
        tar(("bin/tool", "t"), ("up/top", "x"), ("bin/.wh.nothing", "")),
    )
    assert (root / "usr/bin/tool").read_text() == "t"
    assert (root / "bin").is_symlink()
    assert (root / "top").read_text() == "x"


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param([("out", ("link", "/")), ("out/outside", "x")], id="absolute-link"),
        pytest.param([("out", ("link", "..")), ("out/outside", "x")], id="relative-link"),
        pytest.param([("/outside", "x")], id="absolute-name"),
        pytest.param([("a", ("link", "..")), ("b", ("link", "a/..")), ("b/outside", "x")], id="chain-of-links"),
        pytest.param([("outside", ("link", "../outside")), ("outside", "x")], id="a-file-over-a-link"),
        pytest.param([("a", ("link", "..")), ("a/.wh.outside", "")], id="whiteout-through-a-link"),
        pytest.param([("a", ("link", "..")), ("a/.wh..wh..opq", "")], id="opaque-through-a-link"),
    ],
)
def test_nothing_outside_the_root_is_touched(root: Path, layer: list) -> None:
    unpack(root, tar(*layer))
    assert (root.parent / "outside").read_text() == "untouched"
    assert sorted(os.listdir(root.parent)) == ["outside", "root"]


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ([("../outside", "x")], "leads out of the image"),
        ([("a/../../outside", "x")], "leads out of the image"),
        ([("x", ("hard", "../outside"))], "leads out of the image"),
        ([("a", ("link", "..")), ("x", ("hard", "a/outside"))], "is no file of the image"),
        ([("x", ("hard", "/etc/passwd"))], "is no directory of the image"),
        ([("d", None), ("x", ("hard", "d"))], "is no file of the image"),
        ([("a", ("link", "b")), ("b", ("link", "a")), ("a/x", "")], "too many symbolic links"),
        ([(".wh...", "")], "names no file"),
        ([(".wh.", "")], "names no file"),
        ([(f"f{number}", "") for number in range(60)], "more than 50 files"),
        ([("big", b"\0" * 1_100_000)], "larger than 1000000 bytes"),
    ],
)
def test_a_layer_that_reaches_out_or_is_too_large_is_refused(root: Path, layer: list, reason: str) -> None:
    with pytest.raises(UnusableImage, match=reason):
        unpack(root, tar(*layer))
    assert (root.parent / "outside").read_text() == "untouched"


def test_a_bomb_is_refused_while_it_grows(root: Path) -> None:
    bomb = gzip.compress(tar(("zeros", b"\0" * 900_000)))
    assert len(bomb) < 3_000
    with pytest.raises(UnusableImage, match="more than 20 times as much is refused"):
        unpack(root, bomb)


def test_devices_are_left_out_and_counted(root: Path) -> None:
    device, pipe, capable = tarfile.TarInfo("dev/null"), tarfile.TarInfo("pipe"), tarfile.TarInfo("ping")
    device.type, pipe.type = tarfile.CHRTYPE, tarfile.FIFOTYPE
    capable.pax_headers = {"SCHILY.xattr.security.capability": "\x01"}
    unpacked = unpack(root, tar(device, pipe, capable)).unpacked
    assert tree(root) == {"dev/": "", "ping": ""}
    assert [note.partition(":")[0] for note in unpacked.notes()] == [
        "1 device",
        "1 named pipe",
        "1 file with capabilities",
    ]


def test_what_an_owner_may_do_is_kept_and_set_user_id_is_not(root: Path) -> None:
    locked, sudo, run = tarfile.TarInfo("shadow"), tarfile.TarInfo("sudo"), tarfile.TarInfo("locked")
    locked.mode, sudo.mode, run.mode, run.type = 0o000, 0o4755, 0o000, tarfile.DIRTYPE
    unpack(root, tar(locked, sudo, run, ("locked/x", "x")))
    assert stat.S_IMODE((root / "shadow").stat().st_mode) == 0o600
    assert stat.S_IMODE((root / "sudo").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "locked").stat().st_mode) == 0o700


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_long_names_are_read_in_every_format(root: Path, format: int) -> None:
    long = "/".join(["d" * 60, "e" * 60, "f" * 60])
    unpack(root, tar((long, "x"), ("ü", "u"), format=format))
    assert (root / long).read_text() == "x"
    assert (root / "ü").read_text() == "u"


@pytest.mark.parametrize("pack", ["plain", "gzip", "members", "padded", "zstd"])
def test_layers_are_read_compressed_in_each_way(root: Path, pack: str) -> None:
    plain = tar(("a", "x" * 5_000))
    packed = {
        "plain": lambda: plain,
        "gzip": lambda: gzip.compress(plain),
        "members": lambda: gzip.compress(plain[:700]) + gzip.compress(plain[700:]),
        "padded": lambda: gzip.compress(plain) + b"\0" * 512,
        "zstd": lambda: _zstd(plain),
    }[pack]()
    layers = Layers(root, SMALL)
    layers.apply(io.BytesIO(packed), digest=digest(packed), diff_id=digest(plain))
    assert (root / "a").read_text() == "x" * 5_000


def _zstd(data: bytes) -> bytes:
    if shutil.which("zstd") is None:
        pytest.skip("zstd is not installed")
    return subprocess.run(["zstd", "-cq"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: data, _zstd], ids=["gzip", "plain", "zstd"])
@pytest.mark.parametrize("cut", [1, 400, 1_000])
def test_a_layer_that_is_cut_off_is_refused(root: Path, pack, cut: int) -> None:
    # Bytes that do not compress, so that every cut is inside.
    packed = pack(tar(("a", os.urandom(3_000))))
    with pytest.raises(UnusableImage):
        Layers(root, SMALL).apply(io.BytesIO(packed[:-cut]), digest=digest(packed))


@pytest.mark.parametrize("wrong", ["digest", "diff_id"])
def test_a_layer_with_another_digest_is_refused(root: Path, wrong: str) -> None:
    plain = tar(("a", "x"))
    digests = {"digest": digest(gzip.compress(plain, mtime=0)), "diff_id": digest(plain), wrong: digest(b"other")}
    with pytest.raises(UnusableImage, match="damaged" if wrong == "digest" else "not the one of the configuration"):
        Layers(root, SMALL).apply(io.BytesIO(gzip.compress(plain, mtime=0)), **digests)


@pytest.mark.parametrize(
    ("packed", "reason"), [(b"BZh91AY", "bzip2"), (b"\xfd7zXZ\0\0", "xz"), (b"x" * 600, "checksum|number")]
)
def test_what_is_no_layer_is_refused(root: Path, packed: bytes, reason: str) -> None:
    with pytest.raises(UnusableImage, match=reason):
        Layers(root, SMALL).apply(io.BytesIO(packed))


def test_an_extended_header_of_many_bytes_is_refused_before_it_is_read() -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 40
    asked: list[int] = []
    stream = io.BytesIO(header.tobuf(tarfile.GNU_FORMAT))

    def read(size: int) -> bytes:
        asked.append(size)
        return stream.read(size)

    with pytest.raises(BadTar, match="extended header"):
        list(TarReader(read))
    assert max(asked) <= 512


def test_a_directory_that_is_written_as_a_file_may_have_a_body() -> None:
    data = tar(("a/", b"body"), ("b", b"more"), format=tarfile.USTAR_FORMAT)
    found = [(entry.name, entry.kind) for entry in TarReader(io.BytesIO(data).read)]
    assert found == [("a/", "directory"), ("b", "file")]


# A name that ends in a slash is a directory's here, and a file's to the standard library.
names = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1, max_size=200).filter(
    lambda name: not name.endswith("/")
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(names, st.binary(max_size=700)), max_size=4), st.sampled_from([0, 1, 2]))
def test_the_reader_agrees_with_the_standard_library(members: list[tuple[str, bytes]], format: int) -> None:
    try:
        data = tar(*members, format=format)
    except ValueError:
        # The oldest format can't hold every name.
        return
    reader = TarReader(io.BytesIO(data).read)
    got = [(entry.name, b"".join(reader.chunks())) for entry in reader]
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        wanted = [(entry, archive.extractfile(entry)) for entry in archive if entry.isfile()]
        kept = [(entry.name, body.read()) for entry, body in wanted if body is not None]
    assert [(name.rstrip("/"), body) for name, body in got if not name.endswith("/")] == [
        (name.rstrip("/"), body) for name, body in kept
    ]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=2_000), st.integers(0, 1_500), st.integers(0, 255))
def test_arbitrary_bytes_never_do_worse_than_a_refusal(noise: bytes, place: int, value: int) -> None:
    good = bytearray(tar(("some/file", "text"), ("link", ("link", "some"))))
    good[place % len(good)] = value
    for data in (noise, bytes(good)):
        reader = TarReader(io.BytesIO(data).read)
        try:
            for _ in reader:
                b"".join(reader.chunks())
        except BadTar:
            pass
