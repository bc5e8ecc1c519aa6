"""Training data: generated pictures with known codes, holes, codes for each pass, real pictures mixed in.

Everything random comes from one CPU generator, so that its state is all there is to save. Which kind of pass
a row is shows only in two tensors: the code it is fed (`w_rand`) and the pixels on which it must agree with
its target (`where`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate, one_hot

from ganinv.parts import Backbone, free_form_batch, middle

from .edits import Edits
from .hidden import PART_SHARES, ToldEntries, part_holes
from .reals import Reals
from .settings import HoleSettings, TrainConfig

WIDEST = 8
"""Most pixels by which part holes are widened, at 64 px: people seldom erase to the pixel."""
PART_MOST = 0.5
"""Larger shares of the picture are no part of it: pose, light and background move nearly all."""


@dataclass(frozen=True)
class Batch:
    """One step's data: N pictures, P passes over each; row p * N + n is picture n in pass p.

    image (N, 3, R, R); visible (N, 1, R, R); w_rand (P * N, num_ws, w_dim); where (P * N, 1, R, R);
    targets (T, 3, R, R): the pictures, then the edited ones; target_of (P * N,): which target a row has;
    edit: (P * N, num_ws, w_dim) added to the codes before rendering, or None; reals (N, 3, R, R) for the
    discriminator; w_true (N, num_ws, w_dim): the pictures' own codes, meaningless where has_code (N,) is
    false (real pictures without latents); told (N, z_dim): which entries of z the visible part tells, or None
    where that is not asked for; labels (N, c_dim): their classes, zeros where unknown, or None
    where the generator has none.
    """

    image: Tensor
    visible: Tensor
    w_rand: Tensor
    where: Tensor
    targets: Tensor
    target_of: Tensor
    edit: Tensor | None
    reals: Tensor
    w_true: Tensor
    has_code: Tensor
    told: Tensor | None
    labels: Tensor | None
    passes: int

    @property
    def erased(self) -> Tensor:
        """image * visible."""
        return self.image * self.visible


class Sampler:
    """Draws batches."""

    def __init__(
        self,
        backbone: Backbone,
        config: TrainConfig,
        batch: int,
        generator: torch.Generator,
        *,
        reals: Reals | None = None,
        edits: Edits | None = None,
        told: ToldEntries | None = None,
    ) -> None:
        """`told`: needed for `data.hidden_codes` above 0."""
        self.backbone, self.config, self.count = backbone, config, batch
        self.generator, self.bank, self.edits = generator, reals, edits
        self.device = backbone.w_avg.device
        self.told = told

    @torch.no_grad()
    def draw(self) -> Batch:
        """The next batch."""
        n = self.count
        is_real = self._chance(n, self.config.data.real_fraction if self.bank is not None else 0.0)
        real, real_z = self._real_pictures(int(is_real.sum()))
        has_code = ~is_real if real_z is None else torch.ones_like(is_real)
        labels = self._labels(n)
        w_true = self.codes(n, labels)
        z, agrees = None, torch.zeros_like(is_real)
        if self.told is not None:
            z = torch.randn(n, self.backbone.z_dim, generator=self.generator).to(self.device)
            agrees = self._chance(n, self.config.data.hidden_codes) & has_code
            if real_z is not None:
                z[is_real] = real_z
            w_true = torch.where(agrees[:, None, None], self.backbone.map(z, labels), w_true)
        if real_z is not None:
            w_true[is_real] = self.backbone.map(real_z)
        image = self._images(w_true, is_real, real)
        size, content = self.backbone.resolution, self.config.content
        visible = 1 - draw_holes(n, size, self.config.holes, self.generator, content).to(self.device)
        agreeing, told = w_true, None
        if z is not None:
            visible, told = self._told(z, agrees, visible, labels)
            fresh = torch.randn(z.shape, generator=self.generator).to(self.device)
            agreeing = self.backbone.map(torch.where(told, fresh, z), labels)
        w_rand, where = self._passes(w_true, visible, has_code)
        w_rand[-n:][agrees], where[-n:][agrees] = agreeing[agrees], 1.0
        passes = len(w_rand) // n
        targets, target_of, edit = image, torch.arange(n, device=self.device).repeat(passes), None
        if self.edits is not None:
            targets, target_of, edit = self._edited(image, w_true, is_real, target_of)
        all_real = self.config.data.real_reals and self.bank is not None
        reals = self._real_pictures(n)[0] if all_real else image
        if labels is not None:
            labels = labels * ~(torch.ones_like(is_real) if all_real else is_real)[:, None]
        return Batch(
            image=image,
            visible=visible,
            w_rand=w_rand,
            where=where,
            targets=targets,
            target_of=target_of,
            edit=edit,
            reals=reals,
            w_true=w_true,
            has_code=has_code,
            told=told,
            labels=labels,
            passes=passes,
        )

    def codes(self, count: int, labels: Tensor | None = None) -> Tensor:
        """Codes (count, num_ws, w_dim) of fresh latents, some of them two codes joined at a random layer.

        Where the generator has classes they are of `labels` (count, c_dim), or of random ones.
        """
        layers = self.backbone.num_ws
        z = torch.randn(2 * count, self.backbone.z_dim, generator=self.generator).to(self.device)
        c = self._labels(count) if labels is None else labels
        first, second = self.backbone.map(z, None if c is None else c.repeat(2, 1)).chunk(2)
        cut = torch.randint(1, layers, (count, 1), generator=self.generator)
        mixed = self._chance(count, self.config.data.style_mixing)
        take = (torch.arange(layers) >= cut) & mixed.cpu()[:, None]  # (count, num_ws)
        return torch.where(take[:, :, None].to(self.device), second, first)

    def _labels(self, count: int) -> Tensor | None:
        if not self.backbone.c_dim:
            return None
        index = torch.randint(self.backbone.c_dim, (count,), generator=self.generator)
        return one_hot(index, self.backbone.c_dim).float().to(self.device)

    def _passes(self, w_true: Tensor, visible: Tensor, has_code: Tensor) -> tuple[Tensor, Tensor]:
        """What each pass feeds and where it must agree, first all of pass one, then all of pass two."""
        setup, everywhere = self.config.setup, torch.ones_like(visible)
        fresh = self.codes(len(w_true))
        if setup == "plain":
            return fresh, everywhere
        if setup == "classic":
            return torch.cat([fresh, self.codes(len(w_true))]), torch.cat([everywhere, everywhere])
        if setup == "partial-only":
            return torch.cat([fresh, self.codes(len(w_true))]), torch.cat([visible, visible])
        # Where no code is known, as of most real pictures, the "full" pass is a second partial one.
        other = self.codes(len(w_true)) if self.bank is not None else fresh
        full = torch.where(has_code[:, None, None], w_true, other)
        full_where = torch.where(has_code[:, None, None, None], everywhere, visible)
        if setup == "full-only":
            return full, full_where
        kept = self._layer_ranges(len(w_true)) & has_code[:, None]
        partial = torch.where(kept[:, :, None], w_true, fresh)
        return torch.cat([full, partial]), torch.cat([full_where, visible])

    def _told(
        self, z: Tensor, agrees: Tensor, visible: Tensor, labels: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Visible pixels, and which entries of z they tell, (N, z_dim) bool.

        A share of the pictures that `agrees` names get a part hole instead of the one drawn, where that is
        neither empty nor over `PART_MOST`; the entry that it hides is not told, whatever mean maps say.
        """
        assert self.told is not None
        if not self.config.data.part_holes or not bool(self.told.weight.any()):
            return visible, self.told(visible)
        chosen = self._chance(len(z), self.config.data.part_holes) & agrees
        drawn = torch.multinomial(self.told.weight.cpu(), len(z), replacement=True, generator=self.generator)
        entry = drawn.to(self.device)
        wider = widening(self.backbone.resolution, self.generator)
        low, high = PART_SHARES
        shares = (low + (high - low) * torch.rand(len(z), generator=self.generator)).to(self.device)
        rows = chosen.nonzero()[:, 0]
        if not len(rows):
            return visible, self.told(visible)
        known = None if labels is None else labels[rows]
        holes = part_holes(self.backbone, z[rows], entry[rows], known, shares[rows], wider)
        share = holes.float().mean(dim=(1, 2, 3))
        fits = (share > 0) & (share <= PART_MOST)
        rows, holes = rows[fits], holes[fits]
        visible = visible.clone()
        visible[rows] = 1 - holes.float()
        told = self.told(visible)
        told[rows, entry[rows]] = False
        return visible, told

    def _layer_ranges(self, count: int) -> Tensor:
        """Layers (count, num_ws) at which the partial pass keeps the true code: none or a range."""
        layers = self.backbone.num_ws
        length = torch.randint(1, layers, (count, 1), generator=self.generator)
        start = (torch.rand(count, 1, generator=self.generator) * (layers - length + 1)).long()
        index = torch.arange(layers)
        inside = (index >= start) & (index < start + length)
        return inside.to(self.device) & self._chance(count, self.config.data.layer_range)[:, None]

    def _edited(
        self, image: Tensor, w_true: Tensor, is_real: Tensor, target_of: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Give a share of the full pass an edit, and the truly edited pictures as targets."""
        assert self.edits is not None
        n = len(image)
        chosen = self._chance(n, self.edits.share) & ~is_real
        edit = torch.zeros(len(target_of), *w_true.shape[1:], device=self.device)
        edit[:n] = self.edits.draw(self, n) * chosen[:, None, None]
        rows = chosen.nonzero()[:, 0]
        if not len(rows):
            return image, target_of, edit
        shown = self._shown(w_true[rows] + edit[rows])
        target_of = target_of.clone()
        target_of[rows] = n + torch.arange(len(rows), device=self.device)
        return torch.cat([image, shown]), target_of, edit

    def _images(self, w_true: Tensor, is_real: Tensor, real: Tensor) -> Tensor:
        if not len(real):
            return self._shown(w_true)
        side = self.backbone.resolution
        image = torch.empty(len(w_true), 3, side, side, device=self.device)
        image[is_real] = real
        if not bool(is_real.all()):
            image[~is_real] = self._shown(w_true[~is_real])
        return image

    def _shown(self, ws: Tensor) -> Tensor:
        """Pictures of codes, clamped to [-1, 1] as every picture of a file is."""
        return self.backbone.synthesize(ws).images.float().clamp(-1, 1)

    def _real_pictures(self, count: int) -> tuple[Tensor, Tensor | None]:
        """Real pictures (count, 3, R, R) and their latents (count, z_dim), where these are known."""
        if self.bank is None:
            return torch.empty(0, device=self.device), None
        index = torch.randint(0, len(self.bank), (count,), generator=self.generator)
        z = None if self.bank.z is None else self.bank.z[index].to(self.device)
        return self.bank.images[index].to(self.device).float() / 127.5 - 1, z

    def _chance(self, count: int, probability: float) -> Tensor:
        """(count,) bool, each true with that probability; always takes the same number of draws."""
        return (torch.rand(count, generator=self.generator) < probability).to(self.device)


def widening(resolution: int, generator: torch.Generator) -> int:
    """Pixels by which a part hole is widened: 1 to `WIDEST` at 64 px, each doubling as likely as the next."""
    widest = max(1, WIDEST * resolution // 64)
    return round(widest ** float(torch.rand((), generator=generator)))


def draw_holes(
    count: int,
    size: int,
    settings: HoleSettings,
    generator: torch.Generator,
    content: tuple[int, int] | None = None,
) -> Tensor:
    """Holes (count, 1, size, size) float, 1 = erased, in the shares of `settings`; none outside the middle
    `content` (height, width).
    """
    weights = settings.weights()
    holes = free_form_batch(count, size, weights, generator, (0.0, settings.most)).float()
    empty = settings.empty / (settings.empty + sum(weights.values()))
    keep = torch.rand(count, generator=generator) >= empty
    holes = holes * keep[:, None, None, None]
    if content is None:
        return holes
    whole = torch.zeros_like(holes)
    rows, columns = middle(size, content)
    whole[:, :, rows, columns] = interpolate(holes, size=content)
    return whole
