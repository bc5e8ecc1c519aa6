"""GAN inversion toolkit. Bare, so that importing it stays light: the public names are in ganinv.api."""

__version__ = "0.1.0"
