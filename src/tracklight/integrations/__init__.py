"""Tracklight inside other programs; one file each, imported only by who uses it."""
