"""Calls to a tracking server, wherever it runs."""

from tracklight.client.calls import Client
from tracklight.client.connect import connect
from tracklight.client.transport import Answer, Transport

__all__ = ["Answer", "Client", "Transport", "connect"]
