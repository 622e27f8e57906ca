"""Every setting, where it comes from, and the project's folder.

An argument wins over the environment, that over the project's file (``tracklight.toml``, or the table
``[tool.tracklight]`` of ``pyproject.toml``), that over the default.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tracklight.errors import ConfigurationError

FOLDER = ".tracklight"
FILE = "tracklight.toml"
EMBEDDED = "embedded"


class Settings(BaseSettings):
    """The tracker's settings. In the environment each is ``TRACKLIGHT_`` and its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix="TRACKLIGHT_", extra="forbid", frozen=True, populate_by_name=True
    )

    directory: Path = Path(FOLDER)
    """Where journals and the embedded store live; found by `load`."""
    tracking_uri: str = Field(EMBEDDED, validation_alias="MLFLOW_TRACKING_URI")
    """``http(s)://...``, ``sqlite:///...``, or ``embedded``: the project's own store, no server needed."""
    mirror_uris: tuple[str, ...] = ()
    """More servers that get the same records, each at its own pace."""
    tracking_username: str | None = Field(None, validation_alias="MLFLOW_TRACKING_USERNAME")
    tracking_password: SecretStr | None = Field(None, validation_alias="MLFLOW_TRACKING_PASSWORD")
    tracking_token: SecretStr | None = Field(None, validation_alias="MLFLOW_TRACKING_TOKEN")
    request_timeout_seconds: float = Field(60.0, gt=0)
    """How long to wait for the next bytes of an answer."""
    exit_timeout_seconds: float | None = Field(None, ge=0)
    """How long the end of the program may wait for the delivery; see `exit_limit_seconds`."""
    journal_bytes: int = Field(2 << 30, ge=1 << 16)
    """Above this, new metric points are refused and counted; parameters, tags and run ends never."""
    segment_bytes: int = Field(8 << 20, ge=1 << 14)
    fsync: Literal["interval", "always", "never"] = "interval"
    """When appended records reach the disk: every ``fsync_interval_seconds``, with every call, or when the
    kernel likes. A killed process loses nothing in any case."""
    fsync_interval_seconds: float = Field(0.5, gt=0)
    strict: bool = False
    """Raise what would otherwise be warned about and counted."""
    spool: Literal["copy", "link"] = "copy"
    """How ``log_artifact`` keeps a file until it is uploaded. A hard link is instant, but shows later changes."""
    redact: bool = True
    """Replace values of parameters and tags that look like secrets."""
    redact_keys: tuple[str, ...] = ()
    """More regular expressions for names whose values are secret."""
    system_metrics: bool = False
    """Log CPU, memory, disk, network and GPU use of every run."""
    system_metrics_interval_seconds: float = Field(10.0, gt=0)

    @classmethod
    def load(cls, start: Path | None = None, **arguments: Any) -> Self:
        """Read the settings of the project that ``start`` (the working folder by default) belongs to.

        Raises:
            ConfigurationError: a value cannot be used, or the project's file has an unknown key.
        """
        root = find_project(start or Path.cwd())
        from_file, where = _read_project_file(root)
        _refuse_unknown(from_file, set(cls.model_fields), where)
        given = {name: value for name, value in arguments.items() if value is not None}
        in_environment = {name for name in cls.model_fields if _environment_has(cls, name)}
        base = {name: value for name, value in from_file.items() if name not in in_environment}
        try:
            settings = cls(**{**base, **given})
        except ValidationError as error:
            problem = error.errors()[0]
            name = str(problem["loc"][0]) if problem["loc"] else "?"
            raise ConfigurationError(
                f"Setting {name} is {problem['input']!r}: {problem['msg']}. It may come from the argument, the "
                f"environment (TRACKLIGHT_{name.upper()}) or {where}."
            ) from error
        return settings.model_copy(update={"directory": (root / settings.directory).absolute()})

    @classmethod
    def fallback(cls, tracking_uri: str | None = None) -> Settings:
        """Return the defaults, for a program that must go on although its settings cannot be read."""
        directory = find_project(Path.cwd()) / FOLDER
        return cls.model_construct(directory=directory, tracking_uri=tracking_uri or EMBEDDED)

    @property
    def exit_limit_seconds(self) -> float:
        """The limit that was set; else 10 s, and 60 s for a local store, whose first opening imports MLflow."""
        if self.exit_timeout_seconds is not None:
            return self.exit_timeout_seconds
        return 10.0 if self.tracking_uri.startswith("http") else 60.0

    @property
    def journals(self) -> Path:
        return self.directory / "journals"

    @property
    def embedded_database(self) -> Path:
        return self.directory / "mlflow.db"

    @property
    def embedded_uri(self) -> str:
        return f"sqlite:///{self.embedded_database}"

    @property
    def embedded_artifacts(self) -> Path:
        return self.directory / "artifacts"


def find_project(start: Path) -> Path:
    """Return the nearest folder at or above ``start`` with ``.tracklight`` or a file of settings, else ``start``."""
    for folder in (start.absolute(), *start.absolute().parents):
        if (
            (folder / FOLDER).is_dir()
            or (folder / FILE).is_file()
            or "tracklight" in _pyproject_tools(folder)
        ):
            return folder
    return start.absolute()


def _environment_has(settings: type[BaseSettings], name: str) -> bool:
    alias = settings.model_fields[name].validation_alias
    wanted = {f"TRACKLIGHT_{name}".upper(), str(alias).upper()}
    return any(variable.upper() in wanted for variable in os.environ)


def _read_project_file(root: Path) -> tuple[dict[str, Any], str]:
    path = root / FILE
    if not path.is_file():
        return _pyproject_tools(root).get("tracklight", {}), f"{root / 'pyproject.toml'} [tool.tracklight]"
    try:
        return tomllib.loads(path.read_text("utf-8")), str(path)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.") from error


def _pyproject_tools(folder: Path) -> dict[str, Any]:
    try:
        tools = tomllib.loads((folder / "pyproject.toml").read_text("utf-8")).get("tool", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError):
        return {}
    return tools if isinstance(tools, dict) else {}


def _refuse_unknown(values: dict[str, Any], known: set[str], where: str) -> None:
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f". Known are: {', '.join(sorted(known))}."
            raise ConfigurationError(f"{where} has the unknown setting {name!r}{hint}")
