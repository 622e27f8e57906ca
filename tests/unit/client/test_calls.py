"""What each kind of answer, and each way of not answering, means to the caller."""

from __future__ import annotations

import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

from tracklight.client import Client
from tracklight.client.http import HttpTransport
from tracklight.errors import (
    AccessDeniedError,
    RequestRefusedError,
    RequestTooLargeError,
    ServerFailedError,
    ServerUnreachableError,
)
from tracklight.wire.endpoints import GET_RUN, LOG_BATCH, SET_TAG
from tracklight.wire.messages import Empty, GetRun, LogBatch, SetTag

if TYPE_CHECKING:
    from conftest import MisbehavingServer

PAGE = "<html><head><title>Log in</title></head><body>Company proxy</body></html>"


def mlflow_error(error_code: str, message: str = "the reason") -> str:
    return json.dumps({"error_code": error_code, "message": message})


def test_a_get_carries_its_request_in_the_query(client: Client, server: MisbehavingServer) -> None:
    server.answers(200, '{"run":{"info":{"run_id":"a b/ü","experiment_id":"1"}}}')
    assert client.call(GET_RUN, GetRun("a b/ü")).run.info.run_id == "a b/ü"
    (asked,) = server.asked
    assert (asked.method, asked.body) == ("GET", b"")
    assert asked.path.startswith("/api/2.0/mlflow/runs/get?run_id=a")


def test_a_post_carries_its_request_as_json(client: Client, server: MisbehavingServer) -> None:
    server.answers(200)
    assert client.call(SET_TAG, SetTag("r", "k", "ü")) == Empty()
    (asked,) = server.asked
    assert asked.headers["content-type"] == "application/json"
    assert json.loads(asked.body) == {"run_id": "r", "key": "k", "value": "ü"}


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_server_that_cannot_now_is_unreachable(
    client: Client, server: MisbehavingServer, status: int
) -> None:
    server.answers(status, "busy")
    with pytest.raises(ServerUnreachableError, match=str(status)) as caught:
        client.call(LOG_BATCH, LogBatch("r"))
    assert caught.value.retry_after_seconds is None


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1e400", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(
    client: Client, server: MisbehavingServer, retry_after: str, seconds: float | None
) -> None:
    server.answers(429, mlflow_error("REQUEST_LIMIT_EXCEEDED"), Retry_After=retry_after)
    with pytest.raises(ServerUnreachableError) as caught:
        client.call(LOG_BATCH, LogBatch("r"))
    assert caught.value.retry_after_seconds == seconds


@pytest.mark.parametrize("status", [200, 400, 404, 501])
def test_a_page_of_a_proxy_is_no_answer_of_mlflow(
    client: Client, server: MisbehavingServer, status: int
) -> None:
    server.answers(status, PAGE, Content_Type="text/html")
    with pytest.raises(ServerUnreachableError, match=r"not MLflow's.*Company proxy.*Check that the address"):
        client.call(LOG_BATCH, LogBatch("r"))


def test_a_redirect_is_not_followed_and_its_target_is_named(
    client: Client, server: MisbehavingServer
) -> None:
    server.answers(302, PAGE, Location="https://login.example/")
    with pytest.raises(ServerUnreachableError, match=r"https://login\.example/"):
        client.call(LOG_BATCH, LogBatch("r"))
    assert len(server.asked) == 1


@pytest.mark.parametrize("body", ["[]", '{"run":{}}', '{"status":"ok"}', ""])
def test_json_of_another_service_is_no_answer_of_mlflow(
    client: Client, server: MisbehavingServer, body: str
) -> None:
    server.answers(200, body)
    with pytest.raises(ServerUnreachableError, match="not MLflow's"):
        client.call(GET_RUN, GetRun("r"))


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", [mlflow_error("PERMISSION_DENIED"), PAGE, "You are not authenticated."])
def test_denied_access_is_told_apart(
    client: Client, server: MisbehavingServer, status: int, body: str
) -> None:
    server.answers(status, body)
    with pytest.raises(AccessDeniedError, match=f"{status}.*Check the user and password"):
        client.call(LOG_BATCH, LogBatch("r"))


@pytest.mark.parametrize(
    ("body", "error_code"), [(PAGE, "REQUEST_TOO_LARGE"), (mlflow_error("TOO_BIG"), "TOO_BIG")]
)
def test_a_request_too_large_is_told_apart(
    client: Client, server: MisbehavingServer, body: str, error_code: str
) -> None:
    server.answers(413, body)
    with pytest.raises(RequestTooLargeError, match="Send less") as caught:
        client.call(LOG_BATCH, LogBatch("r"))
    assert (caught.value.error_code, caught.value.http_status) == (error_code, 413)


def test_mlflows_own_failure_is_told_apart(client: Client, server: MisbehavingServer) -> None:
    server.answers(500, mlflow_error("INTERNAL_ERROR", "disk on fire"))
    with pytest.raises(ServerFailedError, match="INTERNAL_ERROR: disk on fire"):
        client.call(LOG_BATCH, LogBatch("r"))


def test_a_page_with_status_500_may_be_mlflows_own_failure(client: Client, server: MisbehavingServer) -> None:
    server.answers(500, PAGE, Content_Type="text/html")
    with pytest.raises(ServerFailedError, match="500"):
        client.call(LOG_BATCH, LogBatch("r"))


@pytest.mark.parametrize("status", [400, 404, 409, 501])
def test_a_refusal_carries_the_servers_code_and_message(
    client: Client, server: MisbehavingServer, status: int
) -> None:
    server.answers(status, mlflow_error("SOME_CODE", "no such run"))
    with pytest.raises(RequestRefusedError, match="no such run") as caught:
        client.call(LOG_BATCH, LogBatch("r"))
    assert (caught.value.error_code, caught.value.http_status) == ("SOME_CODE", status)
    assert type(caught.value) is RequestRefusedError


def test_a_server_that_hangs_is_unreachable(client: Client, server: MisbehavingServer) -> None:
    released = threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        released.wait(10)
        handler.close_connection = True

    server.behave = hang
    try:
        with pytest.raises(ServerUnreachableError, match="no answer in time"):
            client.call(LOG_BATCH, LogBatch("r"))
    finally:
        released.set()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"\x00garbage\r\n\r\n",
    ],
)
def test_a_connection_closed_midway_is_unreachable(
    client: Client, server: MisbehavingServer, content: bytes
) -> None:
    server.sends_raw(content)
    with pytest.raises(ServerUnreachableError, match="failed"):
        client.call(LOG_BATCH, LogBatch("r"))


def test_a_refused_connection_is_unreachable() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    client = Client(HttpTransport(f"http://127.0.0.1:{port}"))
    with pytest.raises(ServerUnreachableError, match=f"127.0.0.1:{port}"):
        client.call(LOG_BATCH, LogBatch("r"))
    client.close()


def test_many_threads_share_one_client(client: Client, server: MisbehavingServer) -> None:
    server.answers(200)
    threads = [
        threading.Thread(target=lambda: [client.call(SET_TAG, SetTag("r", "k", "v")) for _ in range(20)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 160


def test_one_connection_serves_many_calls(client: Client, server: MisbehavingServer) -> None:
    server.answers(200)
    ports = set()
    answer = server.behave

    def behave(handler: BaseHTTPRequestHandler) -> None:
        ports.add(handler.client_address[1])
        answer(handler)

    server.behave = behave
    for _ in range(5):
        client.call(SET_TAG, SetTag("r", "k", "v"))
    assert len(ports) == 1


def test_a_forked_child_opens_a_connection_of_its_own(client: Client, server: MisbehavingServer) -> None:
    server.answers(200)
    ports = []
    answer = server.behave

    def behave(handler: BaseHTTPRequestHandler) -> None:
        ports.append(handler.client_address[1])
        answer(handler)

    server.behave = behave
    client.call(SET_TAG, SetTag("r", "k", "v"))
    child = os.fork()
    if child == 0:
        client.call(SET_TAG, SetTag("r", "k", "v"))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    client.call(SET_TAG, SetTag("r", "k", "v"))
    parent_port, child_port, parent_port_again = ports
    assert parent_port == parent_port_again != child_port
