"""Everything a training run can be told, as frozen dataclasses that a YAML file fills."""

from __future__ import annotations

from dataclasses import dataclass, field

from ganinv.parts import ConfigError

from ..losses import check_kind

SETUPS = ("two-pass", "full-only", "partial-only", "classic", "plain")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class NetworkSettings:
    """Which networks are built; everything else follows from the backbone."""

    preset: str | None = None
    """Size of the networks: "tiny", "small" or "ir-se-50"; None = what suits the backbone."""
    gate: bool = True
    """False: no gate, the mixing network's code is used as it is (the ablation)."""
    skip_resolutions: tuple[int, ...] | None = None
    """Sides in pixels of the blocks that get skip features; None = those of 32, 64, 128 up to half the
    backbone's."""
    encoder_from: str | None = None
    """File or stored name of a pSp or e4e encoder for this backbone, or of diverse-inpaint weights: the
    encoder has its shape then, and starts from its weights, with a fourth input channel of zeros where there
    are three."""


@dataclass(frozen=True)
class HoleSettings:
    """Shares of the kinds of hole; they need not sum to 1."""

    comodgan: float = 1.0
    mat: float = 1.0
    mat_small: float = 0.5
    lama_thick: float = 0.0
    half: float = 1.5
    centre: float = 1.0
    border: float = 0.5
    empty: float = 0.1
    """Nothing erased: plain inversion."""
    most: float = 0.97
    """Largest hole share of a free-form hole."""

    def __post_init__(self) -> None:
        if min(self.weights().values()) < 0 or self.empty < 0 or sum(self.weights().values()) <= 0:
            raise ConfigError("holes: shares must be 0 or more, with at least one besides `empty` above 0")
        if not 0 < self.most <= 1:
            raise ConfigError(f"holes.most is {self.most}; give a share in (0, 1]")

    def weights(self) -> dict[str, float]:
        """Name of a mask preset -> share, without the empty one."""
        names = ("comodgan", "mat", "mat_small", "lama_thick", "half", "centre", "border")
        return {name.replace("_", "-"): getattr(self, name) for name in names}


@dataclass(frozen=True)
class LossSettings:
    """Weights of the terms; 0 switches a term off and saves its cost."""

    l2: float = 1.0
    perceptual: float = 0.8
    adversarial: float = 0.1
    adversarial_kind: str = "non-saturating"
    """"non-saturating" or "hinge"."""
    adversarial_every: int = 1
    """Steps between two that train and ask the discriminator; the term is weighted by it in turn."""
    judge_both: bool = False
    """True: the discriminator sees every output raw and composited; False: each output one way, half of them
    each."""
    r1_every: int = 16
    """Discriminator steps between two R1 penalties, which are weighted by it in turn."""
    r1_gamma: float | None = None
    """Weight of R1; None = 0.0002 * resolution^2 / batch."""
    balance: float = 0.0
    """In rows that must agree on all pixels: 1 lets a hole count as much in all in l2 and the perceptual
    distance as what is visible, 0 each pixel alike, values between lie between."""
    code: float = 0.0
    """Weight of the squared distance of w_out to the picture's own code, in units of the codes' spread, of
    rows that must agree on all pixels (others count as 0): it keeps w_out among the codes that the generator
    knows."""
    mode_seeking: float = 0.0
    """Stage 1: weight of the term that makes completions of different codes differ."""
    latent: float = 0.0
    """Weight of the term of a latent discriminator, which keeps w_out among the mapping network's codes."""
    delta: float = 0.0
    """Weight of the mean length of w_out's differences to its first row, in units of the codes' spread."""

    def __post_init__(self) -> None:
        check_kind(self.adversarial_kind)
        if min(self.r1_every, self.adversarial_every) < 1:
            raise ConfigError("losses.r1_every and losses.adversarial_every are numbers of steps, at least 1")
        if not 0 <= self.balance <= 1:
            raise ConfigError(f"losses.balance is {self.balance:g}; it goes from 0 to 1")


@dataclass(frozen=True)
class DataSettings:
    """Where pictures come from and which codes are fed."""

    style_mixing: float = 0.5
    """Chance that a code is two codes joined at a random layer."""
    layer_range: float = 0.25
    """Chance that the partial pass feeds the true code on a random range of layers, fresh ones elsewhere."""
    hidden_codes: float = 0.0
    """Chance that the partial pass feeds a fresh code that agrees with the picture's own in what the hole
    hides and in nothing else, and must then agree on all pixels; for generators whose entries of z each
    stand for something, as the portraits' do."""
    part_holes: float = 0.0
    """Chance that the hole of such a row is cut to what one entry of z moves in its very picture."""
    real_images: str | None = None
    """Folder of pictures, a .npy file of uint8 (M, R, R, 3) at the backbone's size, or a .npz file with such
    `images` and their latents `z` (M, z_dim); None = generated pictures only."""
    real_fraction: float = 0.25
    """Share of real pictures in a batch, where there are any; those without latents take visible-pixel losses
    only."""
    real_reals: bool = False
    """True: the discriminator's real examples are real pictures only, where there are any."""

    def __post_init__(self) -> None:
        for name in ("style_mixing", "layer_range", "hidden_codes", "part_holes", "real_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"data.{name} is {getattr(self, name)}; give a chance from 0 to 1")
        if self.part_holes and not self.hidden_codes:
            raise ConfigError(
                "data.part_holes needs data.hidden_codes above 0, whose rows know what is hidden; type "
                "data.part_holes=0 to do without"
            )


@dataclass(frozen=True)
class StageSettings:
    """Length and speed of one stage."""

    images: int = 100_000
    """Pictures seen until the end of the schedule."""
    batch: int = 16
    """Pictures a step on each device; a multiple of 4, for the discriminator's minibatch statistics."""
    accumulate: int = 1
    """Parts in which a step goes through its batch, their gradients added up: less memory, the same step but
    for the statistics of batch normalisation."""
    lr: float = 1e-3
    discriminator_lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    discriminator_betas: tuple[float, float] = (0.0, 0.99)
    warmup_images: int = 500
    """Pictures over which the rate rises from 0."""
    decay_from: float = 0.5
    """Progress (0 to 1) from which the rate falls along a cosine to a hundredth."""
    clip: float = 10.0
    """Largest length of the whole gradient; longer ones are scaled down to it."""
    code_images: int = 0
    """Stage 1: pictures at the start on which the encoder learns the true codes directly, which is cheap; 0
    = none."""
    progressive: float = 0.0
    """e4e: progress by which all offsets have come in, one after the other; 0 = all are there at once."""
    thaw_from: float = 1.0
    """Stage 2: progress from which encoder and mixing network learn too, at a tenth of the rate; 1 =
    never."""
    edit_share: float = 0.5
    """Stage 2: share of the full pass that must match the truly edited picture; 0 switches edit consistency
    off."""
    edit_strength: float = 2.0
    """Stage 2: edits are drawn evenly from -edit_strength to edit_strength."""
    edit_directions: str = "auto"
    """Stage 2: "random", "bundled", or "auto": bundled ones where the backbone has them, random ones
    otherwise."""

    def __post_init__(self) -> None:
        if self.images < 1 or self.batch < 4 or self.batch % 4:
            raise ConfigError(
                f"{self.images} images in batches of {self.batch}: give at least 1 image, and a batch that "
                "is a multiple of 4"
            )
        if self.accumulate < 1 or self.batch % (4 * self.accumulate):
            raise ConfigError(
                f"a batch of {self.batch} cannot be cut into {self.accumulate} parts (accumulate) of a "
                f"multiple of 4 pictures; possible: {_shares(self.batch)}"
            )
        if self.lr <= 0 or self.discriminator_lr <= 0 or self.clip <= 0:
            raise ConfigError("lr, discriminator_lr and clip must be above 0")
        if not 0 <= self.progressive < 1:
            raise ConfigError(f"progressive is {self.progressive}; give a share from 0 to below 1")
        if not 0 <= self.edit_share <= 1 or self.edit_directions not in ("auto", "random", "bundled"):
            raise ConfigError("edit_share goes from 0 to 1, edit_directions is auto, random or bundled")


@dataclass(frozen=True)
class TrainConfig:
    """A whole run. docs/training.md describes each field."""

    backbone: str = "portraits-64"
    """Name or file of the frozen generator."""
    discriminator: str | None = None
    """Name or file; None = the one in the backbone's file, or NAME-discriminator beside it; "new" = fresh
    weights, where there is none."""
    start_from: str | None = None
    """A diverse-inpaint weight file, or the name of a shipped one, to begin with instead of fresh
    networks."""
    content: tuple[int, int] | None = None
    """Height and width of the middle part of the backbone's pictures that holds content, 384 and 512 for
    cars; None = all of it."""
    setup: str = "two-pass"
    """"two-pass" is the method; "full-only", "partial-only" and "classic" are ablations; "plain", one pass
    that asks for the whole picture, is what psp and e4e are trained with."""
    seed: int = 0
    accelerator: str = "auto"
    devices: int = 1
    precision: str = "float32"
    network: NetworkSettings = field(default_factory=NetworkSettings)
    holes: HoleSettings = field(default_factory=HoleSettings)
    losses: LossSettings = field(default_factory=LossSettings)
    data: DataSettings = field(default_factory=DataSettings)
    stage1: StageSettings = field(default_factory=StageSettings)
    stage2: StageSettings = field(default_factory=StageSettings)
    log_every: int = 20
    """Steps between two lines of the log."""
    sheet_every: int = 5000
    """Pictures between two sample sheets, which also measure diversity and fidelity of the averaged
    networks."""
    save_every: int = 5000
    """Pictures between two saved states."""
    ema_images: int = 10_000
    """Half-life of the averaged weights in pictures; never more than 5 % of the pictures seen."""
    choose_by: int = 128
    """Pictures by which each sheet measures the averaged networks and keeps the best; 0 = it does not."""
    spike_factor: float = 10.0
    """A term this many times above its running median for some steps stops the run; 0 = never."""
    memory_check: bool = True
    """Measure before the run what it will need, and do not begin where that clearly is not there."""

    def __post_init__(self) -> None:
        if self.setup not in SETUPS:
            raise ConfigError(f"setup {self.setup!r} is not known; possible: {', '.join(SETUPS)}")
        if self.start_from is not None and self.network.encoder_from is not None:
            raise ConfigError("start_from and network.encoder_from both name weights to begin with; give one")
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision {self.precision!r} is not known; possible: {', '.join(PRECISIONS)}")
        if min(self.log_every, self.sheet_every, self.save_every, self.devices) < 1:
            raise ConfigError("log_every, sheet_every, save_every and devices must be at least 1")
        if self.choose_by < 0 or (self.spike_factor and self.spike_factor <= 1):
            raise ConfigError("choose_by must be 0 or more, spike_factor above 1; 0 switches them off")

    def stage(self, number: int) -> StageSettings:
        """The settings of stage 1 or 2."""
        return self.stage1 if number == 1 else self.stage2


def _shares(batch: int) -> str:
    """The numbers of parts, each a multiple of 4 pictures, that a batch can be cut into."""
    return ", ".join(str(n) for n in range(1, batch // 4 + 1) if batch % (4 * n) == 0)
