"""Where settings come from, and what is said about those that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracklight.errors import ConfigurationError
from tracklight.settings import EMBEDDED, Settings, find_project


def test_without_anything_runs_go_to_the_embedded_store_of_the_working_folder(project: Path) -> None:
    settings = Settings.load()
    assert settings.tracking_uri == EMBEDDED
    assert settings.directory == project / ".tracklight"


def test_argument_wins_over_environment_over_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "tracklight.toml").write_text('tracking_uri = "http://file"\nstrict = true\n')
    assert Settings.load().tracking_uri == "http://file"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    assert Settings.load().tracking_uri == "http://environment"
    assert Settings.load(tracking_uri="http://argument").tracking_uri == "http://argument"
    assert Settings.load().strict is True
    monkeypatch.setenv("TRACKLIGHT_STRICT", "false")
    assert Settings.load().strict is False


def test_pyproject_is_a_project_file_too(project: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.tracklight]\nfsync = "always"\n')
    inner = project / "src" / "deep"
    inner.mkdir(parents=True)
    assert find_project(inner) == project
    assert Settings.load(inner).fsync == "always"


def test_a_subfolder_belongs_to_the_project_above_it(project: Path) -> None:
    (project / ".tracklight").mkdir()
    inner = project / "notebooks"
    inner.mkdir()
    assert Settings.load(inner).directory == project / ".tracklight"


def test_an_unknown_name_in_the_file_is_refused_with_the_nearest_known_one(project: Path) -> None:
    (project / "tracklight.toml").write_text('traking_uri = "http://x"\n')
    with pytest.raises(
        ConfigurationError, match=r"tracklight\.toml.*'traking_uri'.*did you mean 'tracking_uri'"
    ):
        Settings.load()


def test_a_value_that_cannot_be_used_is_named_with_where_it_may_come_from(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKLIGHT_JOURNAL_BYTES", "lots")
    with pytest.raises(ConfigurationError, match=r"journal_bytes is 'lots'.*TRACKLIGHT_JOURNAL_BYTES"):
        Settings.load()


def test_a_file_that_is_not_toml_is_named(project: Path) -> None:
    (project / "tracklight.toml").write_text("tracking_uri = \n")
    with pytest.raises(ConfigurationError, match=r"tracklight\.toml cannot be read"):
        Settings.load()


def test_mlflows_variables_for_credentials_are_read_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "canary-password")
    settings = Settings.load()
    assert settings.tracking_password is not None
    assert settings.tracking_password.get_secret_value() == "canary-password"
    assert "canary" not in repr(settings)


def test_the_end_of_the_program_waits_longer_for_a_local_store() -> None:
    assert Settings(tracking_uri="http://server").exit_limit_seconds == 10
    assert Settings(tracking_uri=EMBEDDED).exit_limit_seconds == 60
    assert Settings(tracking_uri=EMBEDDED, exit_timeout_seconds=0).exit_limit_seconds == 0
