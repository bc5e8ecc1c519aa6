"""Procedural portraits: attributes in; pictures, landmarks and files out. See docs/portraits.md."""


def draws_portraits(backbone_name: str) -> bool:
    """Whether a backbone draws this domain. Its name tells: such names begin with "portraits"."""
    return backbone_name.startswith("portraits")
