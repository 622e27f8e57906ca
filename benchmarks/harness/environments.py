"""A virtual environment per side, because their dependencies conflict; made once, kept in `.bench/envs`."""

import hashlib
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.machine import BENCH_FOLDER, PROJECT

INSTALL_TIMEOUT_SECONDS = 900


class InstallError(Exception):
    """A side could not be installed; the message says why, without addresses and paths of this machine."""


@dataclass(frozen=True, slots=True)
class Environment:
    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def find_version(self, package: str) -> str:
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        return subprocess.run(
            [self.python, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()


def make_environment(name: str, requirements: tuple[str, ...]) -> Environment:
    """Create the environment, or return the one that was made from the same requirements.

    Raises:
        InstallError: the requirements do not install here.
    """
    environment = Environment(BENCH_FOLDER / "envs" / name)
    stamp, digest = environment.folder / "made-from", digest_requirements(requirements)
    if stamp.exists() and stamp.read_text() == digest:
        return environment
    shutil.rmtree(environment.folder, ignore_errors=True)
    create(environment)
    install(environment, requirements)
    stamp.write_text(digest)
    return environment


def digest_requirements(requirements: tuple[str, ...]) -> str:
    content = repr(requirements) + (PROJECT / "pyproject.toml").read_text() * ("-e ." in requirements)
    return hashlib.sha256(content.encode()).hexdigest()


def create(environment: Environment) -> None:
    if shutil.which("uv"):
        run_quietly(["uv", "venv", "--python", sys.executable, str(environment.folder)])
    else:
        run_quietly([sys.executable, "-m", "venv", str(environment.folder)])


def install(environment: Environment, requirements: tuple[str, ...]) -> None:
    """Install with bytecode, as pip does, by uv if there is one."""
    words = [word for requirement in requirements for word in requirement.split()]
    if shutil.which("uv"):
        options = [
            "--compile-bytecode",
            "--reinstall-package",
            "tracklight",
        ]  # never an older build of the project
        run_quietly(["uv", "pip", "install", *options, "--python", str(environment.python), *words])
    else:
        run_quietly([str(environment.python), "-m", "pip", "install", *words])


def run_quietly(command: list[str]) -> None:
    answer = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_SECONDS, check=False
    )
    if answer.returncode:
        raise InstallError(remove_places(answer.stderr.strip()[-600:]))


def remove_places(text: str) -> str:
    """The text without addresses and absolute paths, fit for a file that others read."""
    return re.sub(r"\w+://\S+|(?<!\w)/[\w.\-/]+", "<...>", text)
