"""Manifests of files, directories and standard input, as they lie in a repository."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from podpass.kube.objects import Obj
from podpass.problems import PodpassError

ENDINGS = (".yaml", ".yml", ".json")
MOST_BYTES = 64 * 1024 * 1024


def read(places: Sequence[str], *, namespace: str) -> list[Obj]:
    """The objects of *places*, in order; `-` is standard input, a directory means all manifests below it.

    What names no namespace is taken for *namespace*, as kubectl does. Raises PodpassError PP502.
    """
    found = []
    for place in places:
        for name, text in _texts(place):
            for document in _documents(name, text):
                document.setdefault("metadata", {}).setdefault("namespace", namespace)
                for item in document.get("items") or () if str(document["kind"]).endswith("List") else ():
                    item.setdefault("metadata", {}).setdefault("namespace", namespace)
                found.append(document)
    return found


def _texts(place: str) -> Iterator[tuple[str, str]]:
    if place == "-":
        yield "standard input", sys.stdin.read(MOST_BYTES)
        return
    for path in _paths(Path(place)):
        try:
            if path.stat().st_size > MOST_BYTES:
                raise PodpassError("PP502", path=path, reason=f"it is larger than {MOST_BYTES} bytes")
            yield str(path), path.read_text()
        except OSError as error:
            raise PodpassError("PP502", path=path, reason=error.strerror or "it can't be read") from error
        except UnicodeDecodeError as error:
            raise PodpassError("PP502", path=path, reason="it is not text") from error


def _paths(place: Path) -> Iterable[Path]:
    if not place.is_dir():
        return [place]
    return sorted(path for path in place.rglob("*") if path.suffix in ENDINGS and path.is_file())


def _documents(name: str, text: str) -> Iterator[Obj]:
    try:
        for document in yaml.load_all(text, Loader=_Loader):
            if _is_object(document):
                yield document
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        reason = f"{where}{getattr(error, 'problem', None) or 'it is not YAML'}"
        raise PodpassError("PP502", path=name, reason=reason) from error


def _is_object(document: Any) -> bool:
    """Whether it is a manifest: directories hold values of charts and much else."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("kind"), str)
        and isinstance(document.get("metadata") or {}, dict)
        and isinstance(document.get("spec") or {}, dict)
    )


# The one in C where the library was built with it; manifests of a fleet are megabytes.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
