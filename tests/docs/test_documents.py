"""README and docs: every example runs, and nothing that a user can set or call is left out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from tracklight.cli.main import app
from tracklight.settings import Settings
from tracklight.tracking import Health, MLflowTracker, Run, Tracker

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(document.read_text("utf-8"))


def environment() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "TRACKLIGHT_"))
    }
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if blocks(path)], ids=lambda path: path.name)
def test_the_examples_of_a_document_run_in_order_in_an_empty_folder(document: Path, tmp_path: Path) -> None:
    """Python blocks of one document share their names, as a reader who types them has it."""
    python = ""
    for language, text in blocks(document):
        if language == "python":
            python += text
            command = [sys.executable, "-W", "error::ResourceWarning", "-c", python]
        else:
            command = ["bash", "-euo", "pipefail", "-c", text]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr


def test_the_first_example_has_about_twelve_lines() -> None:
    _, first = blocks(ROOT / "README.md")[0]
    assert len([line for line in first.splitlines() if line.strip()]) <= 12


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_in_the_table(name: str) -> None:
    table = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert re.search(rf"^\|.*`{name}`", table, re.MULTILINE), f"docs/settings.md does not tell of {name}"


def commands() -> list[str]:
    def walk(command: object, name: str) -> list[str]:
        inner = getattr(command, "commands", None)
        if not inner:
            return [name]
        return [found for key, value in inner.items() for found in walk(value, f"{name} {key}")]

    return walk(typer.main.get_command(app), "tracklight")


@pytest.mark.parametrize("command", commands())
def test_every_command_has_its_heading_and_help(command: str) -> None:
    assert f"## {command}\n" in (ROOT / "docs" / "commands.md").read_text("utf-8")
    shown = subprocess.run(
        [sys.executable, "-m", *command.split(), "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    ).stdout
    assert len(shown.splitlines()) > 5


@pytest.mark.parametrize(
    "name",
    sorted(
        {n for kind in (MLflowTracker, Tracker, Run, Health) for n in vars(kind) if not n.startswith("_")}
    ),
)
def test_every_public_method_has_a_docstring_or_a_type_that_says_all(name: str) -> None:
    owner = next(kind for kind in (MLflowTracker, Tracker, Run, Health) if name in vars(kind))
    member = vars(owner)[name]
    is_plain = isinstance(member, property) or not callable(member)
    assert is_plain or member.__doc__, f"{owner.__name__}.{name} has no docstring"


def test_every_method_of_the_facade_is_in_the_tracker_document() -> None:
    text = (ROOT / "docs" / "tracker.md").read_text("utf-8")
    for name, member in vars(MLflowTracker).items():
        if callable(member) and not name.startswith("_"):
            assert f"{name}(" in text, f"docs/tracker.md does not tell of {name}"


def test_links_between_documents_lead_somewhere() -> None:
    for document in [*DOCUMENTS, ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text("utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_figures_in_readme_are_those_that_were_measured() -> None:
    subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "figures.py"), "--check"], check=True, timeout=60
    )
