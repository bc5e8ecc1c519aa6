"""Fused image operators of GAN inversion, on PyTorch alone. Import the files: ``from ganinv_ops.bias_act import bias_act``."""
