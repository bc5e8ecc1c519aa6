"""The input of StyleGAN3: sinusoids of fixed frequencies on an endless plane, moved and turned by w (Karras
et al. 2021, arXiv 2106.12423, section 3.1 and appendix F).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .layers import EqualLinear


class FourierInput(nn.Module):
    """w `[N, w_dim]` -> `[N, channels, height, width]`, float32.

    `transform` `[3, 3]` moves the whole picture: the inverse, in homogeneous coordinates with the centre at 0
    and a side of 1, of the wanted motion. A caller may set it; files bring the identity.

    Args:
        size: samples along a side, or (width, height). sampling_rate: samples per side of the picture.
        bandwidth: highest frequency at the start.
    """

    transform: Tensor
    freqs: Tensor
    phases: Tensor

    def __init__(
        self,
        w_dim: int,
        channels: int,
        size: int | tuple[int, int],
        sampling_rate: float,
        bandwidth: float,
    ) -> None:
        super().__init__()
        self.size = (size, size) if isinstance(size, int) else size
        self.sampling_rate, self.bandwidth = sampling_rate, bandwidth
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = EqualLinear(w_dim, 4)
        nn.init.zeros_(self.affine.weight)  # at first no code moves anything: cosine 1, all else 0
        with torch.no_grad():
            self.affine.bias[0] = 1.0
        radius = bandwidth * torch.rand(channels).sqrt()  # uniform on the disc of the band
        angle = 2 * math.pi * torch.rand(channels)
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1))
        self.register_buffer("phases", torch.rand(channels) - 0.5)

    def forward(self, w: Tensor) -> Tensor:
        motion = self._motion(self.affine(w))  # [N, 3, 3]
        freqs = self.freqs @ motion[:, :2, :2]  # [N, C, 2]
        phases = self.phases + (self.freqs @ motion[:, :2, 2:]).squeeze(2)  # [N, C]
        # a frequency that the motion pushed out of the band fades, and is gone where it would alias
        nyquist = self.sampling_rate / 2
        strength = ((nyquist - freqs.norm(dim=2)) / (nyquist - self.bandwidth)).clamp(0, 1)
        places = self._places()  # [H * W, 2]
        waves = torch.sin(2 * math.pi * (places @ freqs.transpose(1, 2) + phases[:, None]))
        weight = self.weight / math.sqrt(len(self.weight))
        x = (waves * strength[:, None]) @ weight.t()  # [N, H * W, C]
        width, height = self.size
        return x.unflatten(1, (height, width)).permute(0, 3, 1, 2)

    def _motion(self, t: Tensor) -> Tensor:
        """`[N, 4]`, (cosine, sine, x, y) up to the length of the first two, -> the inverse motion: user's
        first, then shift, then turn.
        """
        cos, sin, x, y = (t / t[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        turn = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=1).unflatten(1, (3, 3))
        shift = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], dim=1).unflatten(1, (3, 3))
        return turn @ shift @ self.transform

    def _places(self) -> Tensor:
        """Centres of the samples as (x, y), the picture being [-0.5, 0.5]^2, row by row `[H * W, 2]`."""
        x, y = (
            (torch.arange(n, device=self.freqs.device) + 0.5 - n / 2) / self.sampling_rate for n in self.size
        )
        return torch.cartesian_prod(y, x).flip(1)
