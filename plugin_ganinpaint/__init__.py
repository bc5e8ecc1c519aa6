"""Diverse inpainting and editing by GAN inversion (arXiv 2307.15033), as a plugin of ganinv."""
