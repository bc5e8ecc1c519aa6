"""The network for distances: the judge at any size, or a scripted one of the user's."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ganinv.errors import UsageError
from ganinv.metrics.features import judge_features, scripted_features, to_side
from ganinv.metrics.judge import Judge, JudgeConfig


class LikeInception(nn.Module):
    """Takes bytes and `return_features`, as the published file does."""

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        assert x.dtype == torch.uint8
        found = x.float().mean(dim=(2, 3))
        return found if return_features else found[:, :1]


class Plain(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3), keepdim=True)


class Wrong(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def scripted(network: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(network).save(str(path))
    return path


def test_scripted_networks_get_what_they_want(tmp_path: Path) -> None:
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    as_bytes = scripted_features(scripted(LikeInception(), tmp_path / "inception.pt"))
    expected = ((images + 1) * 127.5).round().mean(dim=(2, 3))
    torch.testing.assert_close(as_bytes.embed(images), expected)
    assert as_bytes.name == "inception.pt" and len(as_bytes.sha256) == 64 and "uint8" in as_bytes.about
    plain = scripted_features(scripted(Plain(), tmp_path / "plain.pt"))
    torch.testing.assert_close(plain.embed(images), images.mean(dim=(2, 3)))
    torch.testing.assert_close(plain.maps(images)[0].norm(dim=1), torch.ones(3))


def test_scripted_files_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--features .*absent\.pt is no file"):
        scripted_features(tmp_path / "absent.pt")
    (tmp_path / "text.pt").write_text("no network")
    with pytest.raises(UsageError, match=r"text\.pt cannot be used on pictures"):
        scripted_features(tmp_path / "text.pt")
    with pytest.raises(UsageError, match=r"gives torch\.float32 \[2, 3, 64, 64\] of 2 pictures; expected"):
        scripted_features(scripted(Wrong(), tmp_path / "wrong.pt"))


def test_the_judge_takes_every_size() -> None:
    torch.manual_seed(0)
    judge = Judge(JudgeConfig(resolution=16, names=("age",), widths=(8, 16), identity_dim=4)).eval()
    network = judge_features(judge, "0")
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(network.embed(images), judge.features(images))
    larger = images.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(network.embed(larger), judge.features(images), rtol=1e-4, atol=1e-5)
    assert [m.shape[1:] for m in network.maps(images)] == [(16, 4, 4)]
    assert to_side(images[..., :8, :8], 16).shape == (2, 3, 16, 16)
