"""Generators and discriminators."""

DEFAULT = "portraits-128"
"""Name of the bundled generator that is used where none is named."""
