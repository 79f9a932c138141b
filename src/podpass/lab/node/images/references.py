"""Image names as pod specs write them: `docker.io/library/python:3.12@sha256:…`."""

import fnmatch
import re

_NAME = re.compile(
    r"(?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[a-fA-F0-9:]+\])(?::[0-9]{1,5})?/)?"
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?(?:@sha256:[a-f0-9]{64})?"
)
_LONGEST = 512
_DOCKER_HUB = ("docker.io/library/", "docker.io/", "index.docker.io/library/", "index.docker.io/", "library/")


def is_reference(text: str) -> bool:
    """Whether *text* can name an image: a path of lower-case parts; host, tag and digest are optional."""
    return len(text) <= _LONGEST and _NAME.fullmatch(text) is not None


def split(reference: str) -> tuple[str, str]:
    """Repository and tag: `docker.io/library/python:3.12@sha256:…` is `("python", "3.12")`."""
    repository = reference.partition("@")[0]
    tag = ""
    # A colon before the last slash belongs to a registry's port.
    if ":" in repository.rpartition("/")[2]:
        repository, _, tag = repository.rpartition(":")
    for prefix in _DOCKER_HUB:
        if repository.startswith(prefix):
            repository = repository.removeprefix(prefix)
            break
    return repository, tag


def digest_of(reference: str) -> str:
    """The digest that *reference* pins, or an empty string."""
    return reference.partition("@")[2]


def tagged(reference: str) -> str:
    """The one form of a name in which two that mean the same image are equal: `python:latest`."""
    repository, tag = split(reference)
    return f"{repository}:{tag or 'latest'}"


def matches(pattern: str, reference: str) -> bool:
    """Whether *pattern* means the image *reference*, as pod specs write it.

    Docker Hub's prefixes may be left out; a digest is ignored.
    """
    wanted, wanted_tag = split(pattern)
    name, tag = split(reference)
    return fnmatch.fnmatchcase(name, wanted) and (not wanted_tag or fnmatch.fnmatchcase(tag or "latest", wanted_tag))
