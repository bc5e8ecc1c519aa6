"""Inversion methods that come with the package; the registry of `ganinv.plugins` names them."""
