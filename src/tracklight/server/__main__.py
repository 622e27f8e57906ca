"""``python -m tracklight.server``: the application under uvicorn, in one process."""

from __future__ import annotations

import argparse
import socket

import uvicorn

from tracklight.server.app import create_app
from tracklight.server.settings import ServerSettings


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            print(f"Tracklight server is ready at http://{host}:{port}", flush=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tracklight.server", description=__doc__)
    parser.add_argument("--backend-store-uri", required=True, help="sqlite:///PATH of the database")
    parser.add_argument("--artifact-root", required=True, help="folder or URI for artifacts")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5000, help="0 takes a free one")
    options = parser.parse_args(arguments)
    app = create_app(
        ServerSettings(backend_store_uri=options.backend_store_uri, artifact_root=options.artifact_root)
    )
    _Server(
        uvicorn.Config(app, host=options.host, port=options.port, log_level="error", access_log=False)
    ).run()


if __name__ == "__main__":
    main()
