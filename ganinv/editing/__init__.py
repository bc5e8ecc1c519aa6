"""Editing codes along directions."""
