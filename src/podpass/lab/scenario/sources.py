"""Values that stand elsewhere than in the scenario: in a variable, or in a file beside it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from podpass.lab.scenario.entries.directory import SourceEntry
from podpass.lab.scenario.file import MAX_BYTES


class SourceMissing(ValueError):
    """There is no such variable or file; the text says which, and never what is in it."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a scenario's values come from."""

    directory: Path = field(default_factory=Path)
    """Relative names of files start here."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def text(self, source: SourceEntry) -> str:
        """The value. Raises SourceMissing."""
        if source.env:
            if not self.environ.get(source.env):
                raise SourceMissing(f"the variable {source.env} is not set where podpass lab up was run")
            return self.environ[source.env]
        try:
            return self.content(source.file).decode().removesuffix("\n")
        except UnicodeDecodeError as error:
            raise SourceMissing(f"the file {source.file} is not UTF-8 text") from error

    def content(self, file: str) -> bytes:
        """What a file holds. Raises SourceMissing."""
        try:
            with (self.directory / file).open("rb") as opened:
                content = opened.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SourceMissing(f"the file {file} can't be read: {reason}") from error
        if len(content) > MAX_BYTES:
            raise SourceMissing(f"the file {file} is larger than {MAX_BYTES} bytes")
        return content
