"""Addresses as they may be shown."""

from __future__ import annotations

import re


def without_user(text: str) -> str:
    """Return the URI, or the text with URIs in it, with asterisks for each user and password."""
    return re.sub(r"//[^/?#\s]*@", "//***@", text)
