"""An application called in process, from whatever thread and at whatever time."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tracklight.client.asgi import AsgiTransport, Event
from tracklight.errors import ServerUnreachableError


class Echo:
    """Answers with what it was asked; ``/fail`` raises, ``/silent`` answers nothing, ``/slow`` awaits."""

    closed = False

    async def __call__(
        self,
        scope: Event,
        receive: Callable[[], Awaitable[Event]],
        send: Callable[[Event], Awaitable[None]],
    ) -> None:
        if scope["path"] == "/fail":
            raise RuntimeError("out of order")
        if scope["path"] == "/silent":
            return
        if scope["path"] == "/slow":
            await asyncio.sleep(0.05)
        sizes, more = [], True
        while more:
            event = await receive()
            sizes.append(len(event["body"]))
            more = event["more_body"]
        told = {key: scope[key] for key in ("method", "path")} | {
            "query": scope["query_string"].decode(),
            "size": sum(sizes),
            "largest": max(sizes),
            "thread": threading.get_ident(),
        }
        await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Name", b"v")]})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": json.dumps(told).encode()})

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def transport() -> Any:
    transport = AsgiTransport(Echo, address="here")
    yield transport
    transport.close()


def test_the_application_is_told_what_was_asked(transport: AsgiTransport) -> None:
    answer = transport.send("POST", "/a%20b/%C3%BC", query=[("k", "v w"), ("k", "&")], body=b"12345")
    told = json.loads(answer.body)
    assert (answer.status, answer.headers["x-name"]) == (200, "v")
    assert (told["method"], told["path"], told["query"], told["size"]) == ("POST", "/a b/ü", "k=v+w&k=%26", 5)


def test_a_file_is_streamed_in_pieces(transport: AsgiTransport) -> None:
    told = json.loads(transport.send("PUT", "/", body=io.BytesIO(bytes(5_000_000))).body)
    assert told["size"] == 5_000_000
    assert told["largest"] <= 1 << 20


def test_an_answer_is_streamed_into_a_file(transport: AsgiTransport) -> None:
    sink = io.BytesIO()
    assert transport.send("GET", "/", sink=sink).body == b""
    assert json.loads(sink.getvalue())["path"] == "/"


def test_a_call_runs_on_the_callers_thread(transport: AsgiTransport) -> None:
    assert json.loads(transport.send("GET", "/slow").body)["thread"] == threading.get_ident()


@pytest.mark.parametrize("path", ["/fail", "/silent"])
def test_an_application_that_gives_no_answer_is_unreachable(transport: AsgiTransport, path: str) -> None:
    with pytest.raises(ServerUnreachableError, match=path):
        transport.send("GET", path)
    assert transport.send("GET", "/").status == 200


def test_a_caller_may_be_inside_a_running_loop(transport: AsgiTransport) -> None:
    async def notebook_cell() -> int:
        return transport.send("GET", "/slow").status

    assert asyncio.run(notebook_cell()) == 200


def test_the_callers_event_loop_stays_as_it_was(transport: AsgiTransport) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        transport.send("GET", "/slow")
        assert asyncio.get_event_loop_policy().get_event_loop() is loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_threads_call_at_the_same_time(transport: AsgiTransport) -> None:
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(transport.send("GET", "/slow").status))
        for _ in range(20)
    ]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 20
    assert time.monotonic() - started < 20 * 0.05


def test_a_forked_child_calls_with_loops_of_its_own(transport: AsgiTransport) -> None:
    transport.send("GET", "/slow")
    child = os.fork()
    if child == 0:
        os._exit(0 if transport.send("GET", "/slow").status == 200 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert transport.send("GET", "/slow").status == 200


def test_closing_closes_the_application() -> None:
    application = Echo()
    transport = AsgiTransport(lambda: application, address="here")
    transport.send("GET", "/")
    transport.close()
    assert application.closed


def test_the_first_call_may_come_from_a_daemon_thread_at_interpreter_exit(tmp_path: Any) -> None:
    program = f"""
import atexit, threading
from tracklight.client import connect
from tracklight.wire.endpoints import CREATE_EXPERIMENT
from tracklight.wire.messages import CreateExperiment

client = connect("sqlite:///{tmp_path}/m.db")
go, done = threading.Event(), threading.Event()

def deliver():
    go.wait()
    print("created", client.call(CREATE_EXPERIMENT, CreateExperiment("at exit")).experiment_id, flush=True)
    done.set()

threading.Thread(target=deliver, daemon=True).start()

@atexit.register
def drain():
    go.set()
    assert done.wait(60)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("created 1\n", "", 0)
