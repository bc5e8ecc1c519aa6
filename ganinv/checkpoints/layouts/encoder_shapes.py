"""The configuration of a published encoder, read from the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ganinv.encoders.ir_se import IRSEConfig
from ganinv.encoders.published import PublishedEncoderConfig
from ganinv.errors import CheckpointError

_IR_SE_UNITS = {24: (3, 4, 14, 3), 49: (3, 13, 30, 3), 50: (3, 8, 36, 3)}
"""Number of units -> units of each stage: IR-SE-50, -100 and -152."""
_RESNET_UNITS = {16: (3, 4, 6, 3)}
"""ResNet-34."""


def encoder_config(
    tensors: Mapping[str, Tensor],
    *,
    codes: str,
    num_ws: int,
    w_dim: int,
    iterations: int = 1,
    input_rows: int | None = None,
) -> PublishedEncoderConfig:
    """The configuration of the encoder with these tensors (without the prefix `encoder.`).

    Args:
        codes: "absolute" or "offsets"; the tensors do not tell.
        num_ws, w_dim: used where the tensors do not tell: one style for all layers, or one linear layer.

    Raises:
        CheckpointError: no body or no heads that are known.
    """
    body = _body(tensors)
    styles = {key.split(".")[1] for key in tensors if key.startswith("styles.")}
    if styles:
        heads = "pyramid" if "latlayer1.weight" in tensors else "heads"
        num_ws = len(styles)
        w_dim = _shape(tensors, "styles.0.linear.weight")[0]
        width = _shape(tensors, "styles.0.convs.0.weight")[0]
    elif "output_layer_2.3.weight" in tensors:
        heads, width = "vector", _shape(tensors, "output_layer_2.3.weight")[0]
        if num_ws * w_dim != _shape(tensors, "linear.weight")[0]:
            raise CheckpointError(
                f"its encoder answers with {_shape(tensors, 'linear.weight')[0]} numbers, "
                f"its generator takes {num_ws} codes of {w_dim}"
            )
    elif "linear.weight" in tensors:
        heads, width = "mean", 512
        w_dim = _shape(tensors, "linear.weight")[0]
    else:
        raise CheckpointError("its encoder has no heads that are known: styles.*, output_layer_2.*, linear.*")
    return PublishedEncoderConfig(
        num_ws=num_ws,
        w_dim=w_dim,
        head_width=width,
        body=body,
        heads=heads,  # type: ignore[arg-type]
        codes=codes,  # type: ignore[arg-type]
        input_rows=input_rows,
        iterations=iterations,
    )


def _body(tensors: Mapping[str, Tensor]) -> IRSEConfig:
    numbers = [int(key.split(".")[1]) for key in tensors if key.startswith("body.")]
    count = max(numbers, default=-1) + 1
    resnet = "conv1.weight" in tensors
    units = (_RESNET_UNITS if resnet else _IR_SE_UNITS).get(count)
    if units is None:
        raise CheckpointError(
            f"its encoder's body has {count} units; known: IR-SE with 24, 49 or 50, ResNet with 16"
        )
    ends = [sum(units[: stage + 1]) - 1 for stage in range(len(units))]
    if resnet:
        stem = _shape(tensors, "conv1.weight")
        widths = tuple(_shape(tensors, f"body.{end}.conv2.weight")[0] for end in ends)
        return IRSEConfig(
            in_channels=stem[1],
            widths=widths,
            units=units,
            strides=(1, 2, 2, 2),
            stem_width=stem[0],
            stem_stride=2,
            unit="resnet",
        )
    stem = _shape(tensors, "input_layer.0.weight")
    middle, wide = _shape(tensors, f"body.{ends[-1]}.res_layer.5.fc1.weight")[:2]
    return IRSEConfig(
        in_channels=stem[1],
        widths=tuple(_shape(tensors, f"body.{end}.res_layer.3.weight")[0] for end in ends),
        units=units,
        stem_width=stem[0],
        squeeze=max(wide // max(middle, 1), 1),
        squeeze_least=1,
    )


def _shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    if name not in tensors or tensors[name].ndim < 2:
        raise CheckpointError(f"its encoder lacks the tensor {name}")
    return tuple(tensors[name].shape)
