"""Signal processing of StyleGAN3 (Karras et al. 2021, arXiv 2106.12423): each layer's band, sampling rate and
size, and the low-pass filters that follow from them.

Frequencies are in cycles, and sampling rates in samples, per side of the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LayerGeometry:
    """Band, rate and size of one layer's input and output, and the filters that follow."""

    in_channels: int
    out_channels: int
    in_size: int
    """Samples along a side, margins included."""
    out_size: int
    in_sampling_rate: int
    out_sampling_rate: int
    in_cutoff: float
    """Frequency at which the input's low-pass filter has fallen to one half, f_c."""
    out_cutoff: float
    in_half_width: float
    """Half of that filter's transition band, f_h."""
    out_half_width: float
    conv_kernel: int = 3
    is_torgb: bool = False
    """The last layer: no filters, no leaky ReLU, no demodulation."""
    is_critically_sampled: bool = False
    """The output uses all of the band that its rate can hold; its filter is then separable."""
    filter_size: int = 6
    """Taps of a filter for each step of its resampling factor."""
    lrelu_upsampling: int = 2
    """The leaky ReLU runs at this multiple of the larger of both rates."""
    use_radial_filters: bool = False

    @property
    def tmp_sampling_rate(self) -> int:
        """Rate at which the leaky ReLU runs."""
        most = max(self.in_sampling_rate, self.out_sampling_rate)
        return most if self.is_torgb else most * self.lrelu_upsampling

    @property
    def up_factor(self) -> int:
        return round(self.tmp_sampling_rate / self.in_sampling_rate)

    @property
    def down_factor(self) -> int:
        return round(self.tmp_sampling_rate / self.out_sampling_rate)

    @property
    def up_taps(self) -> int:
        return self._taps(self.up_factor)

    @property
    def down_taps(self) -> int:
        return self._taps(self.down_factor)

    @property
    def down_radial(self) -> bool:
        """Whether the downsampling filter is radially symmetric, which makes the layer equivariant to
        rotation.
        """
        return self.use_radial_filters and not self.is_critically_sampled

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Left, right, top and bottom, in upsampled pixels: what makes the output `out_size`."""
        wanted = (self.out_size - 1) * self.down_factor + 1
        convolved = (self.in_size + self.conv_kernel - 1) * self.up_factor
        total = wanted - convolved + self.up_taps + self.down_taps - 2
        before = (total + self.up_factor) // 2  # upsampled pixels lie around the originals' centres
        return before, total - before, before, total - before

    def up_filter(self) -> Tensor | None:
        """`[up_taps]`, or None where nothing is upsampled."""
        return design_lowpass(self.up_taps, self.in_cutoff, 2 * self.in_half_width, self.tmp_sampling_rate)

    def down_filter(self) -> Tensor | None:
        """`[down_taps]`, `[down_taps, down_taps]` where radial, or None where nothing is downsampled."""
        width, rate = 2 * self.out_half_width, self.tmp_sampling_rate
        return design_lowpass(self.down_taps, self.out_cutoff, width, rate, radial=self.down_radial)

    def _taps(self, factor: int) -> int:
        return self.filter_size * factor if factor > 1 and not self.is_torgb else 1


def band_limits(num_layers: int, num_critical: int, first: float, last: float) -> tuple[float, ...]:
    """A frequency for each of `num_layers` + 1 layers: geometric from `first` to `last`, which the last
    `num_critical` + 1 of them share ("flexible layers", section 3.2).
    """
    steps = num_layers - num_critical
    return tuple(first * (last / first) ** min(i / steps, 1.0) for i in range(num_layers + 1))


def design_lowpass(
    numtaps: int, cutoff: float, width: float, fs: float, *, radial: bool = False
) -> Tensor | None:
    """Kaiser-windowed low-pass filter of unit sum, float32 (appendix C; Kaiser 1974 for the window).

    Args:
        numtaps: its length; 1 is no filter.
        cutoff: frequency of half amplitude. width: of the transition band. fs: sampling rate.
        radial: a disc in the frequency plane, [numtaps, numtaps], instead of an interval, [numtaps].

    Returns:
        The filter, or None for one tap.
    """
    if numtaps == 1:
        return None
    # on the CPU also where modules are built on the meta device
    exact, cpu = torch.float64, torch.device("cpu")
    beta = _kaiser_beta(numtaps, width / (fs / 2))
    window = torch.kaiser_window(numtaps, periodic=False, beta=beta, dtype=exact, device=cpu)
    at = (torch.arange(numtaps, dtype=exact, device=cpu) - (numtaps - 1) / 2) / fs
    if radial:
        window = torch.outer(window, window)
        taps = _disc(torch.hypot(at[:, None], at[None, :]), cutoff) * window
    else:
        taps = torch.sinc(2 * cutoff * at) * window
    return (taps / taps.sum()).float()


def _kaiser_beta(numtaps: int, width: float) -> float:
    """The window's shape for a transition band of `width`, in units of the Nyquist frequency."""
    attenuation = 2.285 * (numtaps - 1) * math.pi * width + 7.95  # dB
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    if attenuation > 21:
        return 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    return 0.0


def _disc(r: Tensor, cutoff: float) -> Tensor:
    """Impulse response of an ideal disc of radius `cutoff`, up to a factor: J1(2 pi f r) / r."""
    x = 2 * math.pi * cutoff * r
    centre = torch.full_like(x, 0.5)  # the limit at 0, which an odd number of taps meets
    return torch.where(x > 0, torch.special.bessel_j1(x) / x.clamp(min=1e-30), centre)
