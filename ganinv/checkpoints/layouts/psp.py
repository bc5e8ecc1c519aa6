"""Files of the pSp family: an encoder and, mostly, the generator it was trained for.

pSp, e4e, ReStyle and HFGI save `{state_dict, opts, latent_avg}` with `encoder.*` and `decoder.*`; HyperStyle
the same without an encoder; GANInverter `{encoder, decoder, opts}`; StyleRes `{e4e, generator_smooth,
latent_avg}`. What the tensors do not tell (the meaning of the codes, ReStyle's passes, cars) is read from
`opts`. Networks that only those programs can run, such as hypernetworks, are named and left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganinv.checkpoints.layouts.base import Found, Part, account, single, tensor_table
from ganinv.checkpoints.layouts.encoder_shapes import encoder_config
from ganinv.checkpoints.layouts.nvidia import generator_from_tensors
from ganinv.checkpoints.layouts.rosinality import generator_part
from ganinv.encoders.published import PublishedEncoder
from ganinv.errors import CheckpointError, ConfigError

Tensors = Mapping[str, Tensor]

_ENCODERS = {
    "GradualStyleEncoder": ("psp", "absolute"),
    "BackboneEncoderUsingLastLayerIntoW": ("psp", "absolute"),
    "BackboneEncoderUsingLastLayerIntoWPlus": ("psp", "absolute"),
    "Encoder4Editing": ("e4e", "offsets"),
    "BackboneEncoder": ("restyle", "absolute"),
    "ResNetBackboneEncoder": ("restyle", "absolute"),
    "ProgressiveBackboneEncoder": ("restyle", "offsets"),
    "ResNetProgressiveBackboneEncoder": ("restyle", "offsets"),
}
"""encoder_type -> method, and what its codes mean. With 6 input channels GradualStyleEncoder is ReStyle's."""
_TRAINING = ("optimizer", "discriminator_state_dict", "discriminator_optimizer_state_dict")
_FACTS = ("dataset_type", "encoder_type", "input_nc", "start_from_latent_avg", "learn_in_w")
_PASSES = 5
"""ReStyle's passes where `opts` does not tell."""
_CAR_ROWS = 192
"""Rows of 256 that encoders of cars look at."""
_STYLERES_ONLY = ".modify_feature_"


def recognise(tree: Any) -> Found | None:
    """What a file of the pSp family holds, or None where it is none. Raises CheckpointError."""
    if not isinstance(tree, Mapping):
        return None
    if "e4e" in tree and "generator_smooth" in tree:
        return _styleres(tree)
    groups = _prefixed(tree)
    opts = tree.get("opts")
    if not groups or not (isinstance(opts, Mapping) or "encoder" in groups):
        return None
    opts = opts if isinstance(opts, Mapping) else {}
    mean = tree.get("latent_avg", groups.get("", {}).get("latent_avg"))
    mean = mean if isinstance(mean, Tensor) else None
    parts: list[Part] = []
    if "decoder" in groups:
        parts.append(generator_part("decoder", groups["decoder"], latent_avg=mean))
    if "encoder" in groups:
        parts.append(_encoder(groups["encoder"], opts, parts, mean))
    if not parts:
        return None
    formats = [part.family for part in parts if part.kind == "encoder"]
    left = [name for name in groups if name not in ("", "encoder", "decoder")]
    return Found(formats[0] if formats else "psp", tuple(parts), _facts(tree, opts, left, mean))


def encoder_part(
    name: str,
    tensors: Tensors,
    *,
    family: str,
    codes: str,
    num_ws: int,
    w_dim: int,
    latent_avg: Tensor | None,
    iterations: int = 1,
    cars: bool = False,
) -> Part:
    """An encoder under our names, its mean code with it.

    Args:
        name: of the part. tensors: without the prefix `encoder.`.
        family: "psp", "e4e" or "restyle". codes: "absolute" or "offsets".
        num_ws, w_dim: of the generator, for encoders whose tensors do not tell.
        latent_avg: [w_dim], [1, w_dim] or [num_ws, w_dim]; None where codes count from zero.
        iterations: ReStyle's passes. cars: whether it looks at the middle rows only.

    Raises:
        CheckpointError: a body, heads or a mean code that do not fit together.
    """
    try:
        config = encoder_config(
            tensors,
            codes=codes,
            num_ws=num_ws,
            w_dim=w_dim,
            iterations=iterations,
            input_rows=_CAR_ROWS if cars else None,
        )
    except ConfigError as cause:
        raise CheckpointError(f"its {name} cannot be used: {cause.message}") from cause
    with torch.device("meta"):
        module = PublishedEncoder(config)
    named = {f"net.{key}": tensor for key, tensor in tensors.items()}
    named["latent_avg"] = _mean_rows(latent_avg, config.num_ws, config.w_dim)
    return account(name, "encoder", family, module, config.to_json(), named)


def _prefixed(tree: Mapping[str, Any]) -> dict[str, dict[str, Tensor]]:
    """The networks of a file by their prefix, "encoder" for instance; "" holds tensors without one."""
    flat = tensor_table(tree.get("state_dict"))
    if not flat:  # GANInverter: one table a network, with or without the prefix
        for name in ("encoder", "decoder"):
            for key, tensor in tensor_table(tree.get(name)).items():
                bare = key == "latent_avg" or key.startswith(f"{name}.")
                flat[key if bare else f"{name}.{key}"] = tensor
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in flat.items():
        prefix, dot, rest = key.partition(".")
        groups.setdefault(prefix if dot else "", {})[rest if dot else key] = tensor
    return groups


def _encoder(tensors: Tensors, opts: Mapping[str, Any], others: list[Part], mean: Tensor | None) -> Part:
    kind = opts.get("encoder_type")
    if kind not in _ENCODERS:
        raise CheckpointError(
            f"its opts.encoder_type is {str(kind)[:60]!r}; known: {', '.join(sorted(_ENCODERS))}"
        )
    family, codes = _ENCODERS[kind]
    if kind == "GradualStyleEncoder" and opts.get("input_nc") == 6:
        family = "restyle"
    passes = opts.get("n_iters_per_batch", _PASSES) if family == "restyle" else 1
    if type(passes) is not int or not 1 <= passes <= 1000:
        raise CheckpointError(f"its opts.n_iters_per_batch is {str(passes)[:40]!r}, not a number of passes")
    num_ws, w_dim = _sizes(opts, others)
    return encoder_part(
        "encoder",
        tensors,
        family=family,
        codes=codes,
        num_ws=num_ws,
        w_dim=w_dim,
        latent_avg=mean,
        iterations=passes,
        cars="cars" in str(opts.get("dataset_type")),
    )


def _sizes(opts: Mapping[str, Any], others: list[Part]) -> tuple[int, int]:
    """Number and width of the generator's codes, from the generator if it is in the file."""
    if others:
        config = others[0].config
        return 2 * int(math.log2(config["resolution"])) - 2, int(config["w_dim"])
    size = opts.get("stylegan_size", opts.get("output_size", 1024))
    if type(size) is not int or not 8 <= size <= 8192:
        raise CheckpointError(f"its generator's size is {str(size)[:40]!r}; 8 to 8192 were expected")
    return 2 * int(math.log2(size)) - 2, 512


def _mean_rows(mean: Tensor | None, num_ws: int, w_dim: int) -> Tensor:
    """The mean code as [num_ws, w_dim]: zeros where codes count from zero."""
    if mean is None:
        return torch.zeros(num_ws, w_dim)
    rows = mean.reshape(-1, mean.shape[-1]) if mean.ndim in (1, 2) else mean
    if rows.ndim != 2 or rows.shape[1] != w_dim or rows.shape[0] not in (1, num_ws):
        raise CheckpointError(f"its latent_avg is {list(mean.shape)}; its encoder answers {num_ws} x {w_dim}")
    return single(rows).expand(num_ws, -1).contiguous()


def _styleres(tree: Mapping[str, Any]) -> Found:
    """Encoder and generator of a StyleRes file; its networks that mend features are left."""
    weights = tensor_table(tree["generator_smooth"])
    known = {key: tensor for key, tensor in weights.items() if _STYLERES_ONLY not in key}
    mean = tree.get("latent_avg")
    mean = mean if isinstance(mean, Tensor) else None
    if mean is not None and "mapping.w_avg" not in known:
        known["mapping.w_avg"] = mean.reshape(-1, mean.shape[-1])[0]
    generator = generator_from_tensors("generator_smooth", known)
    num_ws, w_dim = _sizes({}, [generator])
    encoder = encoder_part(
        "e4e",
        tensor_table(tree["e4e"]),
        family="e4e",
        codes="offsets",
        num_ws=num_ws,
        w_dim=w_dim,
        latent_avg=mean,
    )
    left = sorted({key.partition(_STYLERES_ONLY)[2].split(".")[0] for key in weights.keys() - known.keys()})
    facts = {"not_used": [f"modify_feature_{name}" for name in left]} if left else {}
    return Found("styleres", (generator, encoder), facts)


def _facts(
    tree: Mapping[str, Any], opts: Mapping[str, Any], left: list[str], mean: Tensor | None
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        f"opts.{key}": opts[key] for key in _FACTS if isinstance(opts.get(key), (bool, int, str))
    }
    if mean is None:
        facts["latent_avg"] = "not in the file; codes count from zero"
    if left:
        facts["not_used"] = left
    training = [key for key in _TRAINING if key in tree]
    return facts | ({"training_state": training} if training else {})
