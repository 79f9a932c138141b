"""What tests do with a running lab: its variables, kubectl, and the operator's calls."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from podpass.lab.control.client import Control
from podpass.lab.demo.client import Operator, operating
from podpass.lab.environment import Endpoints, LabPaths, host_variables

T = TypeVar("T")


@dataclass(frozen=True)
class RunningLab:
    paths: LabPaths
    home: Path

    @cached_property
    def control(self) -> Control:
        return Control(self.paths)

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(**self.control.status()["endpoints"])

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a shell after `eval "$(podpass lab env)"`."""
        return {**os.environ, **host_variables(self.endpoints, self.paths)}

    @property
    def path(self) -> str:
        """PATH with this environment's programs in front: kubectl, podpass, python."""
        return f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"

    def run(self, *command: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program on the host against the lab."""
        done = subprocess.run(
            command,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        kubectl = Path(sys.executable).parent / "kubectl"
        return self.run(str(kubectl), *arguments, check=check).stdout

    def kubectl_json(self, *arguments: str) -> Any:
        return json.loads(self.kubectl(*arguments, "-o", "json"))

    def operate(self, work: Callable[[Operator], Awaitable[T]]) -> T:
        """Do *work* with the operator's rights."""

        async def go() -> T:
            async with operating(self.endpoints, self.paths) as operator:
                return await work(operator)

        return asyncio.run(go())
