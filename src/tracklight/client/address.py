"""Addresses as they may be shown."""

from __future__ import annotations

import re


def without_user(uri: str) -> str:
    """Return the URI with the user and password, if it holds any, replaced by asterisks."""
    return re.sub(r"//[^/?#]*@", "//***@", uri)
