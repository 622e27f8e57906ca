"""The tracking server, as an ASGI application."""

from tracklight.server.app import App, create_app, create_embedded_app
from tracklight.server.settings import ServerSettings

__all__ = ["App", "ServerSettings", "create_app", "create_embedded_app"]
