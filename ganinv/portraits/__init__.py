"""Procedural portraits: attributes in; pictures, landmarks and files out. See docs/portraits.md."""
