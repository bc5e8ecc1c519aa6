"""Sampling: determinism, marginals, independence, the maps from and to normals."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganinv.errors import UnknownNameError, UsageError
from ganinv.portraits import hashing
from ganinv.portraits.attributes import (
    ATTRIBUTE_NAMES,
    TABLE,
    attributes_from_normals,
    check_attributes,
    normals_from_attributes,
    sample_attributes,
    sample_normals,
)

COUNT = 6000


@pytest.fixture(scope="module")
def many() -> dict[str, torch.Tensor]:
    return sample_attributes(COUNT, 3)


def test_a_portrait_depends_on_seed_and_number_only() -> None:
    whole, part = sample_attributes(20, 5), sample_attributes(7, 5, start=9)
    for name, values in whole.items():
        assert torch.equal(values[9:16], part[name]), name
    assert not torch.equal(whole["age"], sample_attributes(20, 6)["age"])


def test_names_and_types() -> None:
    sample = sample_attributes(4, 0)
    assert tuple(sample) == (*ATTRIBUTE_NAMES, "seed")
    assert sample["seed"].dtype == torch.int64
    assert all(sample[name].dtype == torch.float32 and sample[name].shape == (4,) for name in ATTRIBUTE_NAMES)
    assert sample_attributes(0, 0)["age"].shape == (0,)


def test_hash_is_uniform_in_each_bit() -> None:
    bits = hashing.scramble(torch.arange(4096))
    share = torch.stack([(bits >> i) & 1 for i in range(64)]).double().mean(1)
    assert (share - 0.5).abs().max() < 0.05


@pytest.mark.parametrize("name", ATTRIBUTE_NAMES)
def test_marginal_is_the_documented_one(name: str, many: dict[str, torch.Tensor]) -> None:
    """Kolmogorov and Smirnov against 6000 evenly spaced quantiles: below 1.9 / sqrt(n)."""
    levels = (torch.arange(COUNT, dtype=torch.float64) + 0.5) / COUNT
    expected = TABLE[name].from_gaussian(torch.special.ndtri(levels)).float()
    values = torch.cat((many[name], expected)).unique()
    got = torch.searchsorted(many[name].sort()[0], values, right=True).double() / COUNT
    want = torch.searchsorted(expected.sort()[0], values, right=True).double() / COUNT
    assert (got - want).abs().max() < 1.9 / COUNT**0.5


def test_attributes_are_independent(many: dict[str, torch.Tensor]) -> None:
    table = torch.stack([many[name] for name in ATTRIBUTE_NAMES])
    off = torch.corrcoef(table) - torch.eye(len(table))
    assert off.abs().max() < 4.5 / COUNT**0.5


@pytest.mark.parametrize(
    ("name", "share", "test"),
    [
        ("gender", 0.5, lambda v: v > 0.5),
        ("glasses", 0.25, lambda v: v == 1),
        ("beard", 0.35, lambda v: v > 0),
        ("makeup", 0.35, lambda v: v > 0),
        ("bun", 0.07, lambda v: v == 1),
        ("smile", 0.25 * 0.625, lambda v: v < 0),
        ("hair_red", 0.2, lambda v: v > 0.3),
        ("length", 0.5, lambda v: v > 0.2),
    ],
)
def test_mixtures_have_their_shares(
    name: str, share: float, test: object, many: dict[str, torch.Tensor]
) -> None:
    assert abs(test(many[name]).double().mean().item() - share) < 0.025  # type: ignore[operator]


def test_ranges(many: dict[str, torch.Tensor]) -> None:
    for name, low, high in (("age", 18, 80), ("yaw", -32, 32), ("beard", 0, 1), ("light_el", 8, 52)):
        assert many[name].min() >= low and many[name].max() <= high
    gender = many["gender"]
    assert not ((gender > 0.2201) & (gender < 0.7799)).any()


def test_normals_to_attributes_and_back(many: dict[str, torch.Tensor]) -> None:
    normals = normals_from_attributes(many)
    again = attributes_from_normals(normals)
    for name in ATTRIBUTE_NAMES:
        torch.testing.assert_close(again[name], many[name], rtol=1e-4, atol=2e-4)


def test_sampling_is_the_map_of_normals(many: dict[str, torch.Tensor]) -> None:
    normals, seeds = sample_normals(10, 3, start=5)
    assert normals.shape == (10, len(ATTRIBUTE_NAMES)) and normals.dtype == torch.float32
    again = attributes_from_normals(normals, seeds)
    assert all(torch.equal(again[name], many[name][5:15]) for name in many)


def test_quantile_maps_are_monotone() -> None:
    line = torch.linspace(-5, 5, 400)
    for name, attribute in TABLE.items():
        values = attribute.from_gaussian(line)
        assert (values.diff() >= 0).all() and values.isfinite().all(), name


def test_mistakes() -> None:
    with pytest.raises(UsageError, match="give numbers from 0 up"):
        sample_attributes(-1, 0)
    with pytest.raises(UsageError, match="a column for each attribute"):
        attributes_from_normals(torch.zeros(3, 4))
    with pytest.raises(UsageError, match=r"seeds of shape \(2,\) for 3 portraits"):
        attributes_from_normals(torch.zeros(3, len(ATTRIBUTE_NAMES)), torch.zeros(2, dtype=torch.int64))
    sample = sample_attributes(2, 0)
    with pytest.raises(UnknownNameError, match="did you mean 'smile'"):
        check_attributes({**sample, "smiles": sample["smile"]})
    with pytest.raises(UsageError, match="no value for age"):
        check_attributes({name: value for name, value in sample.items() if name != "age"})
    with pytest.raises(UsageError, match=r"attribute beard has shape \(1,\)"):
        check_attributes({**sample, "beard": sample["beard"][:1]})


def test_the_documented_table_is_this_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "portraits.md").read_text()
    for name, row in TABLE.items():
        assert f"| `{name}` | {row.distribution.text} | {row.unit} | {row.acts_on} |" in text
