"""Fused StyleGAN operations, one module each. Bare: names here would hide the modules they come from."""
