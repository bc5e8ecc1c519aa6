"""`ganinv train`: from a configuration to weights; in the group `ganinv.trainers`.

Imports neither lightning-fabric nor TensorBoard at the top, so that trainers can be listed without the extra
`train`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ganinv.parts import (
    Backbone,
    CheckpointError,
    ConfigError,
    Discriminator,
    DiscriminatorConfig,
    PluginError,
    load_backbone,
    load_config,
    load_discriminator,
)
from ganinv_ops.dispatch import multiplies_bfloat16

from ..config import NetworkConfig
from ..weights import find_weights, load_networks
from .common import derive_seed
from .methods import COMOD, DIVERSE_INPAINT, E4E, PSP, Trainable
from .reals import Reals, load_reals
from .request import check_models, check_request
from .settings import TrainConfig
from .start import EncoderStart, Start, find_start
from .state import BEST, LOG, claim, load_state, state_path

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from .best import Best
    from .loop import OnSave, StageRun

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
OF_THIS_MACHINE = ("backbone", "discriminator", "start_from", "accelerator", "devices")
"""Settings that may name files or devices of the machine, and stay out of weight files."""


def _silent(line: str) -> None:
    """A report that nobody reads."""


def train(
    config: str | Path | None,
    overrides: Sequence[str] = (),
    *,
    out: str | Path,
    backbone: str | None = None,
    stage: str = "both",
    resume: bool = False,
    minutes: float | None = None,
    report: Callable[[str], None] = _silent,
    method: Trainable = DIVERSE_INPAINT,
) -> dict[str, Any]:
    """Train from a configuration file. The contract of every trainer; docs/training.md states it.

    Args:
        config: a YAML file, the name of one that ships with the plugin, or None for the backbone's own or
            the defaults.
        overrides: "key=value".
        out: folder for weights, states, log and sheets.
        backbone: name or file, in place of the configuration's.
        stage: "1", "2" (which needs stage 1 in `out`, or `start_from`) or "both".
        resume: go on from the states in `out`.
        minutes: wall time for each stage, earlier runs included; the learning rate then falls with whichever
            of time and pictures is further on.
        report: told a line now and then.
        method: what is trained.

    Returns:
        {"outputs": [paths], "stages": {"1": {...}}}: how each stage ended, and its last figures.

    Raises:
        UsageError, ConfigError: what was asked for does not fit. CheckpointError: a file that cannot be used.
        TrainingError: a term is no longer finite, or far off its level.
    """
    settings = load_config(TrainConfig, find_config(config, backbone, method.name), overrides)
    if backbone is not None:
        settings = replace(settings, backbone=backbone)
    generator = load_backbone(settings.backbone)
    discriminator = find_discriminator(settings, generator)
    return fit(
        settings,
        generator,
        discriminator,
        Path(out),
        stage=stage,
        resume=resume,
        minutes=minutes,
        report=report,
        method=method,
    )


train_psp, train_e4e, train_comod = (partial(train, method=method) for method in (PSP, E4E, COMOD))


def fit(
    config: TrainConfig,
    backbone: Backbone,
    discriminator: Discriminator,
    out: Path,
    *,
    stage: str = "both",
    resume: bool = False,
    minutes: float | None = None,
    reals: Reals | None = None,
    report: Callable[[str], None] = _silent,
    method: Trainable = DIVERSE_INPAINT,
) -> dict[str, Any]:
    """As `train`, with everything loaded; `reals` replace `data.real_images`."""
    stages = check_request(method, config, out, stage, resume, minutes)
    config = method.settle(config)
    check_models(config, backbone, discriminator)
    try:
        from . import loop
        from .memory import check_memory
    except ModuleNotFoundError as error:
        what = f"training needs {error.name}, which is not installed: pip install 'ganinv[train]'"
        raise PluginError(what) from error
    built = {number: method.stage(number) for number in stages}
    running = [number for number in built if resume and state_path(out, number).is_file()]
    start = _start(method, config, backbone, out if len(running) == len(built) else None)
    if reals is None and config.data.real_images is not None and config.data.real_fraction > 0:
        reals = load_reals(config.data.real_images, backbone, config.content)
    fabric = make_fabric(config)
    if fabric.is_global_zero:
        claim(out)
    else:
        report = _silent
    if resume and not running:
        report(f"{out} holds a run that has saved no state yet: it begins anew")
    if config.precision == "bfloat16" and not multiplies_bfloat16(fabric.device):
        report("this processor has no products in bfloat16: networks compute in float32")
    if config.memory_check:
        report(check_memory(fabric, config, list(built.values()), backbone, discriminator, start.sizes))
    endings: dict[str, Any] = {}
    for number, trained in built.items():
        run = loop.StageRun(
            fabric, config, trained, backbone, discriminator, start.sizes, out,
            reals=reals, report=report, method=method.name,
        )  # fmt: skip
        run.resume() if number in running else _begin(run, start)
        over = run.over(minutes) if number != stages[-1] else None
        if over:  # its weight file may be of the next stage by now
            ending = run.ending(over)
        else:
            ending = run.run(minutes=minutes, on_save=_saver(method, run, start.encoder))
        report(f"stage {number}: {ending.reason} after {ending.images} images")
        endings[str(number)] = ending.to_json()
        if ending.reason == "stopped":
            break
    files = (out / name for name in (method.result, BEST, LOG) if (out / name).is_file())
    return {"outputs": list(map(str, files)), "stages": endings}


def _start(method: Trainable, config: TrainConfig, backbone: Backbone, going_on: Path | None) -> Start:
    """What a run begins with. `going_on`: the folder of a run whose stages all have a state, so that nothing
    is left to begin with, and the file that it began with may be gone.

    Without a preset, networks are of the sizes of the weights to start from.
    """
    asked, encoder, weights = config.network, None, None
    if asked.encoder_from is not None:
        encoder = method.encoder_start(find_start(asked.encoder_from, backbone))
    if config.start_from is not None:
        own = None if going_on is None else going_on / method.result
        path = own if own is not None and own.is_file() else find_weights(backbone, config.start_from)
        weights = load_networks(path, backbone)
    sizes = NetworkConfig.for_backbone(
        backbone,
        preset=asked.preset,
        gate=asked.gate,
        skip_resolutions=asked.skip_resolutions,
        encoder=None if encoder is None else encoder.options,
        content=config.content,
    )
    if weights is not None and asked.preset is None:
        known = weights.config
        sizes = replace(sizes, encoder=known.encoder, mixing=replace(known.mixing, gate=asked.gate))
        if asked.skip_resolutions is None:
            sizes = replace(sizes, skip=known.skip, feature_channels=known.feature_channels)
    if weights is not None and weights.config.skip != sizes.skip:
        weights = replace(weights, skip=None)  # stage 2 begins with a fresh one of the shape asked for
    if method.codes is not None:
        sizes = replace(sizes, encoder=replace(sizes.encoder, codes=method.codes))
    return Start(sizes, encoder, weights)


def make_fabric(config: TrainConfig) -> Fabric:
    """The devices that the configuration asks for, launched.

    Fabric's own mixed precision would also round the inputs, codes and pictures among them;
    `StageRun.autocast` does not.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    # The code warm-up and a frozen encoder leave parameters unused. Buffers need not be sent around: filters
    # never change, and of the statistics of batch normalisation those of the first process are kept.
    strategy = (
        DDPStrategy(find_unused_parameters=True, broadcast_buffers=False) if config.devices > 1 else "auto"
    )
    fabric = Fabric(accelerator=config.accelerator, devices=config.devices, strategy=strategy)
    fabric.launch()
    return fabric


def find_config(
    config: str | Path | None, backbone: str | None, method: str = DIVERSE_INPAINT.name
) -> Path | None:
    """The YAML file meant by a path, by the name of a shipped one, or by the names of method and backbone.

    Raises:
        ConfigError: neither a file nor a shipped name.
    """
    shipped = {path.stem: path for path in sorted(CONFIGS.glob("*.yaml"))}
    if config is None:
        name = backbone or TrainConfig.backbone
        return shipped.get(name if method == DIVERSE_INPAINT.name else f"{method}-{name}")
    path = Path(config).expanduser()
    if path.is_file():
        return path
    if str(config) in shipped:
        return shipped[str(config)]
    raise ConfigError(f"no configuration {str(config)!r}: give a YAML file, or one of {', '.join(shipped)}")


def find_discriminator(config: TrainConfig, backbone: Backbone) -> Discriminator:
    """The discriminator that the configuration names; else the one in the backbone's file, or in the file
    NAME-discriminator beside it; a fresh one for "new".

    Raises:
        CheckpointError: no such file, or none is there. UnknownNameError: a name that is not known.
    """
    asked = config.discriminator
    if asked == "new":
        return new_discriminator(backbone, config.seed)
    if asked is not None:
        return load_discriminator(asked)
    path = Path(config.backbone).expanduser()
    if not path.suffix:
        return load_discriminator(config.backbone)
    beside = path.with_name(f"{path.stem}-discriminator{path.suffix}")
    if beside.is_file():
        return load_discriminator(beside)
    try:
        return load_discriminator(path)
    except CheckpointError as cause:
        raise CheckpointError(
            f"training needs a discriminator: {path.name} holds none, and there is no {beside.name} beside "
            "it; name one with discriminator=FILE, or start a fresh one with discriminator=new"
        ) from cause


def new_discriminator(backbone: Backbone, seed: int) -> Discriminator:
    """A discriminator with random weights and about the generator's channels, at most 512."""
    channels = backbone.feature_channels
    widest, last = max(channels.values()), max(channels)
    shape = DiscriminatorConfig(
        resolution=backbone.resolution,
        channel_base=channels[last] * last,
        channel_max=min(widest, 512),
        c_dim=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, 0, "discriminator"))
        found = Discriminator(shape).eval().requires_grad_(False)
    found.name = "new"
    return found


def _begin(run: StageRun, start: Start) -> None:
    """Starting weights: those that the configuration names; in stage 2 the averaged ones of stage 1, if there
    are such, with the skip encoder of those named.
    """
    named = {} if start.weights is None else start.weights.tensors(with_skip=run.stage == 2)
    if run.stage == 2 and (not named or state_path(run.out, 1).is_file()):
        before = load_state(state_path(run.out, 1), stage=1)
        run.check_origin(before, state_path(run.out, 1))
        run.start_from({**named, **before["ema"]}, before["discriminator"])
    elif named:
        run.start_from(named)
    elif start.encoder is not None:
        for networks in (run.networks, run.ema.module):
            start.encoder.fill(networks.get_submodule("encoder"))  # type: ignore[arg-type]


def _saver(method: Trainable, run: StageRun, start: EncoderStart | None) -> OnSave:
    """Writes averaged networks as a weight file, those of now or the best so far, with how they were made."""

    def save(networks: Any, best: Best | None) -> str:
        # files and folders of this machine say nothing elsewhere
        data = replace(run.config.data, real_images=None)
        network = replace(run.config.network, encoder_from=None)
        shared = replace(run.config, data=data, network=network)
        chosen = run.record.best
        provenance = {
            "stage": run.stage,
            "images": run.images if best is None else best.images,
            "best": chosen and {"probe_kid": chosen.kid, "images": chosen.images, "file": BEST},
            "perceptual": run.distance.name,
            "edits": None if run.edits is None else run.edits.kind,
            "real_images": 0 if run.reals is None else len(run.reals),
            "real_latents": run.reals is not None and run.reals.z is not None,
            "config": {k: v for k, v in asdict(shared).items() if k not in OF_THIS_MACHINE},
            "encoder_from": start and {"name": start.name, "sha256": start.sha256},
        }
        name = method.result if best is None else BEST
        return method.save(run.out / name, networks, run.backbone, provenance)

    return save
