"""The public names for plugin authors, beside `ganinv.api`. A plugin imports these two host modules only."""

from __future__ import annotations

from ganinv.align.faces import Detector, Face
from ganinv.backbones.base import Backbone, Injection, Noise, Synthesis
from ganinv.backbones.discriminator import Discriminator, DiscriminatorConfig
from ganinv.backbones.layers import EqualConv2d, EqualLinear, normalize_second_moment
from ganinv.backbones.loading import (
    bundled_models,
    check_device,
    find_model,
    load_backbone,
    load_discriminator,
)
from ganinv.backbones.running import LiveBytes, chunks, free_bytes, pass_size
from ganinv.checkpoints import Checkpoint, load_weights, read_checkpoint, sha256_file, write_checkpoint
from ganinv.compositing import composite
from ganinv.configs import build_config, load_config
from ganinv.editing.directions import load_direction, load_directions
from ganinv.editing.edits import Direction, Edit
from ganinv.editing.manifest import read_directions, write_directions
from ganinv.encoders.ir_se import IRSEBody, IRSEConfig
from ganinv.encoders.layerwise import LayerwiseLinear
from ganinv.encoders.loading import load_encoder, save_encoder
from ganinv.encoders.published import PublishedEncoder, PublishedEncoderConfig
from ganinv.encoders.pyramid import (
    PyramidEncoder,
    PyramidEncoderConfig,
    from_first,
    pyramid_preset,
    style_groups,
)
from ganinv.errors import (
    BackboneMismatchError,
    CheckpointError,
    ConfigError,
    GanInvError,
    InputError,
    NoSuchPartError,
    OutputError,
    PluginError,
    UnknownNameError,
    UsageError,
)
from ganinv.evaluation.completers import Completer, Completion
from ganinv.files import atomic_write
from ganinv.images import (
    from_levels,
    read_picture,
    sheet,
    to_levels,
    to_tensor,
    to_uint8,
    write_png,
)
from ganinv.inversion import Inversion, backbone_record, check_backbone, run_versions
from ganinv.mask_files import read_mask
from ganinv.masks import fixed_hole, free_form, free_form_batch, named_hole
from ganinv.method import GuidedMethod, InversionMethod, check_label
from ganinv.metrics.distribution import kid
from ganinv.pooling import erase, shrink, shrink_erased
from ganinv.registry import Registry
from ganinv.rendering import render
from ganinv.sampling import normal, sample_seed, sample_seeds, sample_z
from ganinv.sizes import embed, fit_array, fit_shape, middle, resize, resize_hole

__all__ = [
    "Backbone",
    "BackboneMismatchError",
    "Checkpoint",
    "CheckpointError",
    "Completer",
    "Completion",
    "ConfigError",
    "Detector",
    "Direction",
    "Discriminator",
    "DiscriminatorConfig",
    "Edit",
    "EqualConv2d",
    "EqualLinear",
    "Face",
    "GanInvError",
    "GuidedMethod",
    "IRSEBody",
    "IRSEConfig",
    "Injection",
    "InputError",
    "Inversion",
    "InversionMethod",
    "LayerwiseLinear",
    "LiveBytes",
    "NoSuchPartError",
    "Noise",
    "OutputError",
    "PluginError",
    "PublishedEncoder",
    "PublishedEncoderConfig",
    "PyramidEncoder",
    "PyramidEncoderConfig",
    "Registry",
    "Synthesis",
    "UnknownNameError",
    "UsageError",
    "atomic_write",
    "backbone_record",
    "build_config",
    "bundled_models",
    "check_backbone",
    "check_device",
    "check_label",
    "chunks",
    "composite",
    "embed",
    "erase",
    "find_model",
    "fit_array",
    "fit_shape",
    "fixed_hole",
    "free_bytes",
    "free_form",
    "free_form_batch",
    "from_first",
    "from_levels",
    "kid",
    "load_backbone",
    "load_config",
    "load_direction",
    "load_directions",
    "load_discriminator",
    "load_encoder",
    "load_weights",
    "middle",
    "named_hole",
    "normal",
    "normalize_second_moment",
    "pass_size",
    "pyramid_preset",
    "read_checkpoint",
    "read_directions",
    "read_mask",
    "read_picture",
    "render",
    "resize",
    "resize_hole",
    "run_versions",
    "sample_seed",
    "sample_seeds",
    "sample_z",
    "save_encoder",
    "sha256_file",
    "sheet",
    "shrink",
    "shrink_erased",
    "style_groups",
    "to_levels",
    "to_tensor",
    "to_uint8",
    "write_checkpoint",
    "write_directions",
    "write_png",
]
