"""Stage 1, first half: the encoder that reads a style code from the visible part of a picture."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ganinv.parts import ConfigError, PublishedEncoder, PyramidEncoder, from_first, middle

from .config import EncoderOptions, NetworkConfig
from .pooling import shrink_erased


class ErasedEncoder(nn.Module):
    """w_enc = w_avg + w_std * E([erased, visible])."""

    w_avg: Tensor

    def __init__(self, config: NetworkConfig, w_avg: Tensor) -> None:
        """`w_avg` (w_dim): the backbone's mean code."""
        super().__init__()
        self.config = config
        self.body = PyramidEncoder(config.pyramid())
        self.register_buffer("w_avg", w_avg.detach().clone().float())

    def forward(self, erased: Tensor, visible: Tensor) -> Tensor:
        """Read the code of a partly known picture.

        Args:
            erased: (N, 3, R, R) in [-1, 1] at the backbone's resolution; not read where `visible` is 0.
            visible: (N, 1, R, R), 1 = known.

        Returns:
            w_enc (N, num_ws, w_dim).
        """
        small, known = shrink_erased(erased, visible, self.config.encoder.input_size)
        rows, columns = middle(self.config.encoder.input_size, self.config.encoder_content)
        codes = self.body(torch.cat([small, known], dim=1)[:, :, rows, columns])
        if self.config.encoder.codes == "offsets":
            codes = from_first(codes)
        return self.w_avg + self.config.w_std * codes

    @torch.no_grad()
    def adopt(self, published: PublishedEncoder) -> None:
        """Take the weights of an encoder of pSp or e4e: whole pictures then get the codes it gives them. The
        channel that tells what is visible starts at zero. The shape must be that of `options_like`.
        """
        weights = published.net.state_dict()
        first = weights["input_layer.0.weight"]  # (C, 3, 3, 3)
        weights["input_layer.0.weight"] = torch.cat([first, torch.zeros_like(first[:, :1])], dim=1)
        self.body.load_state_dict(weights)
        shift = published.latent_avg - self.w_avg  # (num_ws, w_dim): both means need not be the same
        if self.config.encoder.codes == "offsets":
            shift = torch.cat([shift[:1], shift[1:] - shift[:1]])
        for head, row in zip(self.body.styles, shift, strict=True):
            head.linear.weight.div_(self.config.w_std)  # type: ignore[union-attr, operator]
            head.linear.bias.add_(row).div_(self.config.w_std)  # type: ignore[union-attr, operator]


def options_like(published: PublishedEncoder) -> EncoderOptions:
    """The shape of a published encoder, with a fourth input channel.

    Raises:
        ConfigError: it has no feature pyramid, or is ReStyle's, which needs the picture drawn so far.
    """
    net = published.net
    if not isinstance(net, PyramidEncoder) or published.config.feedback:
        raise ConfigError(
            f"the encoder {published.name} of {published.family} cannot be started from: give one of pSp or "
            "e4e that has a feature pyramid"
        )
    shape = replace(net.config, body=replace(net.config.body, in_channels=4))
    return EncoderOptions(
        preset=published.family,
        input_size=published.config.input_size,
        shape=shape,
        codes=published.config.codes,
    )
