"""Who and what started a run, in MLflow's own tags."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from tracklight.model.run import TagKey


def user_name() -> str:
    """Return the name of the user that runs the program; empty where the system does not know it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def source_tags() -> dict[str, str]:
    """Return the user, the program, and the git commit of its folder, as far as they are known."""
    program = Path(sys.argv[0]) if sys.argv and sys.argv[0] else Path("<interactive>")
    tags: dict[str, str] = {
        TagKey.USER: user_name(),
        TagKey.SOURCE_NAME: str(program),
        TagKey.SOURCE_TYPE: "LOCAL",
    }
    commit = find_git_commit(program if program.exists() else Path.cwd())
    if commit is not None:
        tags[TagKey.GIT_COMMIT] = commit
    return tags


def find_git_commit(start: Path) -> str | None:
    """Return the commit that is checked out around a path, None outside a repository. Runs no command."""
    for folder in (start.absolute(), *start.absolute().parents):
        git = folder / ".git"
        try:
            if git.is_file():  # a worktree or a submodule
                git = (folder / git.read_text().removeprefix("gitdir:").strip()).absolute()
            if (git / "HEAD").is_file():
                return _commit_of_head(git)
        except (OSError, UnicodeDecodeError):
            return None
    return None


def _commit_of_head(git: Path) -> str | None:
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref:"):
        return head or None
    ref = head.removeprefix("ref:").strip()
    common = git / "commondir"
    main = (git / common.read_text().strip()) if common.is_file() else git
    for place in (git, main):
        if (place / ref).is_file():
            return (place / ref).read_text().strip()
    packed = main / "packed-refs"
    lines = packed.read_text().splitlines() if packed.is_file() else []
    return next((line.split()[0] for line in lines if line.endswith(f" {ref}")), None)
