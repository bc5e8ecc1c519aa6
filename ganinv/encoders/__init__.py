"""Encoder bodies that look at a picture and answer with style codes."""
