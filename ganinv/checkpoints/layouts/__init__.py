"""Recognising the trees of others' checkpoint files."""
