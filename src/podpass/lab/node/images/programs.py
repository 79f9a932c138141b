"""What a program of this machine consists of: the directories that an image must show for it to run."""

import os
import sys
from pathlib import Path

_SEEN_IN_PREFIX = ("bin", "lib", "lib64", "libexec", "share", "include", "pyvenv.cfg")


def interpreter_paths() -> tuple[list[Path], str]:
    """What the Python that runs the lab consists of, and the directory of its programs.

    Only the parts of a prefix that an interpreter reads: a prefix may be somebody's project or home directory.
    """
    paths: list[Path] = []
    for prefix in dict.fromkeys((sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)):
        paths += prefix_paths(Path(prefix))
    source = Path(__file__).resolve().parents[4]
    paths.append(source)
    return paths, str(Path(sys.executable).parent)


def program_paths(program: Path) -> list[Path]:
    """The directories that an installed program reads, where they are not the system's: its prefix, its venv's base."""
    paths: list[Path] = []
    for place in dict.fromkeys((program, Path(os.path.realpath(program)))):
        paths += prefix_paths(place.parent.parent)
        configuration = place.parent.parent / "pyvenv.cfg"
        if configuration.is_file():
            for line in configuration.read_text().splitlines():
                name, _, value = line.partition("=")
                if name.strip() == "home" and value.strip():
                    paths += prefix_paths(Path(os.path.realpath(value.strip())).parent)
    if program.name == "az" and Path("/opt/az").is_dir():
        paths.append(Path("/opt/az"))
    return paths


def prefix_paths(prefix: Path) -> list[Path]:
    if prefix in (Path("/"), Path("/usr")):
        return []
    return [prefix / part for part in _SEEN_IN_PREFIX if (prefix / part).exists()]
