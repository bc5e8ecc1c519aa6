"""Codes that agree with a picture in what its hole hides, on a generator whose z is plain to see."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv.errors import ConfigError
from plugin_ganinpaint.training import data, hidden, settings
from plugin_ganinpaint.training.codes import PLAIN_SHARE, REST_SHARE, CodeDistance, CodeReadout
from plugin_ganinpaint.training.hidden import ToldEntries
from plugin_ganinpaint.training.micro import _pictures

SIDE = 16


class Quarters:
    """Entry i of z (4 of them) is the grey level of quarter i; the code is z, once for each of two layers."""

    resolution, num_ws, z_dim, c_dim = SIDE, 2, 4, 0
    w_avg = torch.zeros(4)

    def map(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return z[:, None].expand(-1, 2, -1).clone()

    def classes(self, count: int, label: int | None = None) -> None:
        return None

    def synthesize(self, ws: Tensor, **how: Any) -> Any:
        levels = (ws[:, 0] / 4).reshape(-1, 1, 2, 2).repeat(1, 3, 1, 1)
        return SimpleNamespace(images=levels.repeat_interleave(SIDE // 2, 2).repeat_interleave(SIDE // 2, 3))


def quarters_visible(*shown: int) -> Tensor:
    visible = torch.zeros(1, 1, 2, 2)
    for index in shown:
        visible[0, 0, index // 2, index % 2] = 1
    return visible.repeat_interleave(SIDE // 2, 2).repeat_interleave(SIDE // 2, 3)


def test_an_entry_is_told_where_its_pixels_are_seen() -> None:
    told = ToldEntries(Quarters())  # type: ignore[arg-type]
    seen = torch.cat([quarters_visible(0, 3), quarters_visible(), quarters_visible(0, 1, 2, 3)])
    assert told(seen).tolist() == [[True, False, False, True], [False] * 4, [True] * 4]


def test_a_share_or_a_clear_sight_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    eighth, half = quarters_visible(2), quarters_visible(2)
    eighth[..., 1:], half[..., SIDE // 4 :] = 0, 0
    clear = ToldEntries(Quarters())  # type: ignore[arg-type]
    assert clear(eighth)[0, 2] and clear(half)[0, 2]
    monkeypatch.setattr(hidden, "CLEAR", 1e6)  # no sight of a part is clear enough: its share decides
    share = ToldEntries(Quarters())  # type: ignore[arg-type]
    assert not share(eighth)[0, 2] and share(half)[0, 2]


def make_sampler(chance: float, part_holes: float = 0.0) -> data.Sampler:
    config = replace(
        settings.TrainConfig(),
        data=settings.DataSettings(
            hidden_codes=chance, part_holes=part_holes, layer_range=0.0, style_mixing=0.0
        ),
    )
    backbone: Any = Quarters()
    told = ToldEntries(backbone) if chance else None
    return data.Sampler(backbone, config, 16, torch.Generator().manual_seed(0), told=told)


def test_partial_pass_agrees_in_the_hidden_entries_only_and_on_all_pixels() -> None:
    sampler = make_sampler(1.0)
    batch = sampler.draw()
    assert batch.where.min() == 1
    assert sampler.told is not None
    told = sampler.told(batch.visible)
    fed, true = batch.w_rand[16:, 0], batch.w_true[:, 0]
    assert told.any() and not told.all()
    assert torch.equal(fed[~told], true[~told])
    assert (fed[told] != true[told]).all()


def test_no_chance_changes_nothing() -> None:
    batch = make_sampler(0.0).draw()
    assert torch.equal(batch.where[16:], batch.visible)
    assert (batch.w_rand[16:] != batch.w_true).all()


def test_a_share_of_the_rows_has_them() -> None:
    batch = make_sampler(0.5).draw()
    whole = batch.where[16:].amin(dim=(1, 2, 3)) == 1
    holes = batch.visible.amin(dim=(1, 2, 3)) == 0
    assert 0 < int((whole & holes).sum()) < int(holes.sum())


def test_part_holes_hide_what_one_entry_moves_and_that_entry() -> None:
    batch = make_sampler(1.0, part_holes=1.0).draw()
    fed, true = batch.w_rand[16:, 0], batch.w_true[:, 0]
    hidden_of = [(batch.visible[i, 0] == 0).unflatten(0, (2, 8)).unflatten(2, (2, 8)) for i in range(16)]
    for i, hole in enumerate(hidden_of):
        whole = hole.all(dim=3).all(dim=1).flatten()  # quarters that are hidden altogether
        assert int(whole.sum()) == 1 and fed[i, whole] == true[i, whole]
        # a quarter, widened by one pixel or two
        assert float(hole.float().mean()) in ((9 / 16) ** 2, (10 / 16) ** 2)
    assert {int(torch.nonzero(h.all(dim=3).all(dim=1).flatten())[0, 0]) for h in hidden_of} == {0, 1, 2, 3}


def test_part_holes_hide_their_entry_whatever_mean_maps_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden, "SHARE", 0.0)  # all is told, always
    batch = make_sampler(1.0, part_holes=1.0).draw()
    assert ((batch.w_rand[16:, 0] == batch.w_true[:, 0]).sum(dim=1) == 1).all()


def test_only_what_moves_clearly_is_part_of_the_hole() -> None:
    class Leaking(Quarters):
        """Entry 0 moves its quarter, and all else by a tenth of that."""

        def synthesize(self, ws: Tensor, **how: Any) -> Any:
            return SimpleNamespace(images=super().synthesize(ws).images + ws[:, 0, 0, None, None, None] / 40)

    backbone: Any = Leaking()
    entries = torch.tensor([0, 0])
    shares = torch.full((2,), 0.25)
    tight = hidden.part_holes(backbone, torch.zeros(2, 4), entries, None, shares, wider=0)
    assert torch.equal(tight, quarters_visible(0).bool().expand(2, -1, -1, -1))


@pytest.mark.parametrize(("resolution", "most"), [(8, 1), (64, 8), (128, 16), (1024, 128)])
def test_part_holes_are_widened_by_logarithm(resolution: int, most: int) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.tensor([data.widening(resolution, generator) for _ in range(2000)])
    assert drawn.min() == 1 and drawn.max() == most
    if most > 1:  # half of them up to the square root of the most
        assert (drawn <= most**0.5).float().mean() == pytest.approx(0.5, abs=0.1)


def test_part_holes_alone_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.part_holes needs data\.hidden_codes above 0"):
        settings.DataSettings(part_holes=0.5)


class Unequal(Quarters):
    """Entry 0 is a hundred times as long in the code as the others; entry 3 does not show in the picture."""

    length = torch.tensor([100.0, 1.0, 1.0, 1.0])

    def map(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return super().map(z * self.length, c)

    def synthesize(self, ws: Tensor, **how: Any) -> Any:
        return super().synthesize(ws / self.length * torch.tensor([1.0, 1.0, 1.0, 0.0]))


def test_entries_that_show_count_the_same_whatever_their_length_in_the_code() -> None:
    backbone: Any = Unequal()
    readout = CodeReadout(backbone)
    plain, even = CodeDistance(readout), CodeDistance(readout, ToldEntries(backbone))
    true, counts = torch.zeros(1, 2, 4), torch.tensor([True])

    def moved(entry: int, distance: CodeDistance) -> float:
        codes = torch.zeros(1, 2, 4)
        codes[..., entry] = Unequal.length[entry]
        return float(distance(codes, true, counts))

    assert moved(0, plain) > 1000 * moved(1, plain)
    assert moved(1, even) == pytest.approx(1 / 3, rel=0.05)
    assert moved(0, even) - PLAIN_SHARE * moved(0, plain) == pytest.approx(1 / 3, rel=0.05)
    assert moved(3, even) < 0.01
    assert float(even(torch.ones(1, 2, 4), true, ~counts)) == 0


def test_the_basis_has_a_coordinate_for_each_entry_and_no_more_than_the_code_has() -> None:
    class Turned(Quarters):
        """Two of the four entries, mixed, in a code of three numbers."""

        w_avg = torch.ones(3)

        def map(self, z: Tensor, c: Tensor | None = None) -> Tensor:
            codes = torch.stack([z[:, 0] + z[:, 1], 5 * z[:, 1], 0.1 * z[:, 0] + z[:, 1]], dim=1) + 1
            return codes[:, None].expand(-1, 2, -1)

    backbone: Any = Turned()
    basis = CodeReadout(backbone).basis()
    assert basis.shape == (3, 3)
    z = torch.randn(500, 4)
    y = (backbone.map(z)[:, 0] - 1) @ basis
    read = torch.corrcoef(torch.cat([y[:, :2], z[:, :2]], dim=1).T)[:2, 2:].abs()
    assert sorted(read.max(dim=1).values.tolist())[0] > 0.999 and read.min(dim=1).values.max() < 0.1
    assert y[:, :2].std(dim=0).tolist() == pytest.approx([1, 1], abs=0.1)


class Shaded(Quarters):
    """Entry 0 moves two numbers of the code, something unreadable the first of them: the second reads it."""

    def map(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        shade = z[:, 2] * z[:, 3]
        codes = torch.stack([z[:, 0] + shade, z[:, 0], z[:, 1], 0.3 * (z[:, 2].square() - 1)], dim=1)
        return codes[:, None].expand(-1, 2, -1)


def test_a_coordinate_moves_codes_as_its_entry_does() -> None:
    """It is not enough that a code reads right: the rest of it must not have to move."""
    readout = CodeReadout(Shaded())  # type: ignore[arg-type]
    basis = readout.basis()
    entry = readout.readable.tolist().index(0)
    alone = torch.zeros(1, 4)
    alone[0, entry] = 1.0
    moved = torch.linalg.solve(basis, alone, left=False)[0]  # the code in which this coordinate is 1
    assert torch.allclose(moved / moved[1], torch.tensor([1.0, 1.0, 0.0, 0.0]), atol=0.05)
    z = torch.randn(2000, 4)
    y = (Shaded().map(z)[:, 0]) @ basis
    rest = torch.corrcoef(torch.cat([y[:, 2:], z[:, :2]], dim=1).T)[:2, 2:]
    assert rest.abs().max() < 0.1


def test_a_code_that_only_reads_right_is_not_near() -> None:
    readout = CodeReadout(Shaded())  # type: ignore[arg-type]
    told = SimpleNamespace(weight=torch.tensor([1.0, 0.0, 0.0, 0.0]))
    distance = CodeDistance(readout, told)  # type: ignore[arg-type]
    true, counts = torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(1, 2, 4), torch.tensor([True])
    reads = torch.tensor([0.0, 1.0, 0.0, 0.0]).expand(1, 2, 4)
    plain = PLAIN_SHARE * float(CodeDistance(readout)(reads, true, counts))
    assert float(distance(reads, true, counts)) > plain + 0.1 * REST_SHARE
    assert float(distance(true, true, counts)) == 0


def test_a_chance_beyond_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.hidden_codes is 1\.5; give a chance from 0 to 1"):
        settings.DataSettings(hidden_codes=1.5)


def test_hidden_entries_count_as_much_in_all_as_told_ones() -> None:
    backbone: Any = Quarters()
    distance = CodeDistance(CodeReadout(backbone), ToldEntries(backbone))
    told = torch.tensor([[False, True, True, True]])

    def moved(entry: int, told: Tensor | None) -> float:
        codes = torch.zeros(1, 2, 4)
        codes[..., entry] = 1.0
        return float(distance(codes, torch.zeros(1, 2, 4), torch.tensor([True]), told))

    plain = PLAIN_SHARE / 4  # of one of four entries
    assert moved(0, told) == pytest.approx(1 / 2 + plain, rel=0.02)
    assert moved(1, told) == pytest.approx(1 / 6 + plain, rel=0.02)
    assert moved(0, None) == moved(0, torch.ones_like(told)) == pytest.approx(1 / 4 + plain, rel=0.02)
    assert moved(0, torch.zeros_like(told)) == pytest.approx(1 / 4 + plain, rel=0.02)


def test_batches_say_what_is_told() -> None:
    batch = make_sampler(1.0, part_holes=1.0).draw()
    assert batch.told is not None and batch.told.shape == (16, 4)
    assert torch.equal((~batch.told).sum(dim=1), torch.ones(16, dtype=torch.long))
    half = _pictures(batch, torch.tensor([3, 5, 8, 9]))
    assert half.told is not None and torch.equal(half.told, batch.told[[3, 5, 8, 9]])
    assert make_sampler(0.0).draw().told is None
