"""One file per measured side. Each runs in a virtual environment of its own, as `python -m peers.NAME COMMAND`."""
