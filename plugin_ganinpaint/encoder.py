"""Stage 1, first half: the encoder that reads a style code from the visible part of a picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from ganinv.parts import (
    ConfigError,
    EqualLinear,
    LayerwiseLinear,
    PublishedEncoder,
    PublishedEncoderConfig,
    PyramidEncoder,
    from_first,
    middle,
    shrink_erased,
)

from .config import EncoderOptions, NetworkConfig


class ErasedEncoder(nn.Module):
    """w_enc = w_avg + w_std * E([erased, visible])."""

    w_avg: Tensor

    def __init__(self, config: NetworkConfig, w_avg: Tensor) -> None:
        """`w_avg` (w_dim): the backbone's mean code."""
        super().__init__()
        self.config = config
        self.styles: int | None = None
        """With codes as offsets: how many codes may differ, for e4e's progressive training; None = all."""
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
            codes = from_first(codes, self.styles)
        return self.w_avg + self.config.w_std * codes

    @torch.no_grad()
    def adopt(self, published: PublishedEncoder) -> None:
        """Take the weights of an encoder of pSp or e4e: pictures then get the codes it gives them, whole ones
        where it was not trained on erased ones; the channel that tells what is visible then starts at zero.
        The shape must be that of `options_like`.
        """
        weights = published.net.state_dict()
        if not published.config.erased:
            first = weights["input_layer.0.weight"]  # (C, 3, 3, 3)
            weights["input_layer.0.weight"] = torch.cat([first, torch.zeros_like(first[:, :1])], dim=1)
        self.body.load_state_dict(weights)
        shift = published.latent_avg - self.w_avg  # (num_ws, w_dim): both means need not be the same
        if self.config.encoder.codes == "offsets":
            shift = torch.cat([shift[:1], shift[1:] - shift[:1]])
        _rescale(self.body, 1 / self.config.w_std, shift)

    @torch.no_grad()
    def silence_offsets(self) -> None:
        """Let every code be the first one, as e4e begins; the offsets can be learnt from there."""
        for row, linear in _linears(self.body):
            kept = 1 if row == 0 else 0
            if isinstance(linear, LayerwiseLinear):
                linear.weight[kept:] = 0
                linear.bias[kept:] = 0
            elif not kept:
                linear.weight.zero_()
                linear.bias.zero_()

    @torch.no_grad()
    def published(self) -> PublishedEncoder:
        """The same encoder as `ganinv invert --method psp` and `e4e` use it.

        Raises:
            ConfigError: content that is narrower than the picture; those methods know rows only.
        """
        size, content = self.config.encoder.input_size, self.config.encoder_content
        if content is not None and content[1] != size:
            raise ConfigError(
                f"content {list(self.config.content or ())} is narrower than the picture; psp and e4e take "
                "content of its whole width"
            )
        result = PublishedEncoder(
            PublishedEncoderConfig(
                num_ws=self.config.num_ws,
                w_dim=self.config.w_dim,
                codes=self.config.encoder.codes,
                input_size=size,
                input_rows=content[0] if content else None,
                pyramid=self.body.config,
            )
        )
        assert isinstance(result.net, PyramidEncoder)
        result.net.load_state_dict(self.body.state_dict())
        _rescale(result.net, self.config.w_std, torch.zeros_like(result.latent_avg))
        result.latent_avg.copy_(self.w_avg.expand_as(result.latent_avg))
        return result.eval().requires_grad_(False)


def _linears(body: PyramidEncoder) -> Iterator[tuple[int, EqualLinear | LayerwiseLinear]]:
    """The last layer of each head, with the first style that it answers."""
    row = 0
    for head in body.styles:
        linear = head.linear
        assert isinstance(linear, EqualLinear | LayerwiseLinear)
        yield row, linear
        row += len(linear.bias) if isinstance(linear, LayerwiseLinear) else 1


def _rescale(body: PyramidEncoder, factor: float, shift: Tensor) -> None:
    """Answers become factor * (answers + shift), shift (num_ws, w_dim)."""
    for row, linear in _linears(body):
        if isinstance(linear, LayerwiseLinear):
            linear.bias.add_(shift[row : row + len(linear.bias), None] / linear.lr_mul)
        else:
            linear.bias.add_(shift[row])
        linear.weight.mul_(factor)
        linear.bias.mul_(factor)


def options_like(published: PublishedEncoder) -> EncoderOptions:
    """The shape of an encoder of pSp or e4e, with a fourth input channel where it has three.

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
