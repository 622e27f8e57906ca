"""Credentials are used, and never shown."""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING

import pytest

from tracklight.client import connect
from tracklight.errors import ConfigurationError, TracklightError
from tracklight.wire.endpoints import SET_TAG
from tracklight.wire.messages import SetTag

if TYPE_CHECKING:
    from conftest import MisbehavingServer

SECRET = "c4n4ry/secret"


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("user_in_url", "given", "expected"),
    [
        ("", {}, None),
        ("ann%40x:c4n4ry%2Fsecret@", {}, basic("ann@x", SECRET)),
        ("ann@", {}, basic("ann", "")),
        ("", {"username": "bob", "password": SECRET}, basic("bob", SECRET)),
        ("ann:other@", {"username": "bob", "password": SECRET}, basic("bob", SECRET)),
        ("ann:other@", {"token": SECRET}, f"Bearer {SECRET}"),
    ],
)
def test_credentials_reach_the_server(
    server: MisbehavingServer, user_in_url: str, given: dict[str, str], expected: str | None
) -> None:
    server.answers(200)
    client = connect(server.address.replace("://", f"://{user_in_url}"), **given)
    client.call(SET_TAG, SetTag("r", "k", "v"))
    client.close()
    assert server.asked[0].headers.get("authorization") == expected
    assert client.address == server.address


@pytest.mark.parametrize("status", [200, 302, 401, 404, 429, 500])
def test_no_error_and_no_log_shows_the_password(
    server: MisbehavingServer, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers(status, "not MLflow's")
    client = connect(server.address.replace("://", "://z0rro:c4n4ry%2Fsecret@"))
    with pytest.raises(TracklightError) as caught:
        client.call(SET_TAG, SetTag("r", "k", "v"))
    client.close()
    shown = f"{caught.value!r} {client.address} {caplog.text}"
    assert "c4n4ry" not in shown
    assert "z0rro" not in shown


def test_a_token_and_a_user_are_a_contradiction() -> None:
    with pytest.raises(ConfigurationError, match="Give one of the two"):
        connect("http://host", username="ann", token=SECRET)


@pytest.mark.parametrize("uri", ["postgresql://ann:c4n4ry@db/mlflow", "ftp://ann:c4n4ry@host"])
def test_a_refused_uri_is_shown_without_its_password(uri: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connect(uri)
    assert "c4n4ry" not in str(caught.value)
