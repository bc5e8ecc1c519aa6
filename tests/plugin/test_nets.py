"""The plugin's networks: shapes, what may not leak, and how they start."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from ganinv.backbones.base import Backbone
from ganinv.encoders.ir_se import IRSEBody, IRSEConfig
from ganinv.encoders.pyramid import PyramidEncoder, PyramidEncoderConfig, pyramid_preset
from ganinv.errors import CheckpointError, ConfigError, UnknownNameError, UsageError
from ganinv.pooling import shrink_erased
from plugin_ganinpaint.config import NetworkConfig, SkipOptions
from plugin_ganinpaint.encoder import ErasedEncoder
from plugin_ganinpaint.mixing import GatedMixing
from plugin_ganinpaint.skip import SkipEncoder


class Sized:
    """As much of a backbone as sizes are read from."""

    def __init__(self, resolution: int, w_dim: int = 128, channels: int = 64) -> None:
        self.resolution, self.w_dim, self.z_dim, self.c_dim = resolution, w_dim, w_dim, 0
        self.num_ws = 2 * (resolution.bit_length() - 2)
        self.feature_channels = {4 << k: channels for k in range(resolution.bit_length() - 2)}
        self.w_avg = torch.zeros(w_dim)

    def classes(self, count: int) -> None:
        return None

    def map(self, z: torch.Tensor, c: None = None, truncation: float = 1.0) -> torch.Tensor:
        return z[:, None].repeat(1, self.num_ws, 1)


def sized(resolution: int, **options: int) -> Any:
    return Sized(resolution, **options)


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.fixture
def backbone(tiny_backbone: Any) -> Backbone:
    found: Backbone = tiny_backbone.backbone
    return found


@pytest.fixture
def config(backbone: Backbone) -> NetworkConfig:
    torch.manual_seed(0)
    return NetworkConfig.for_backbone(backbone)


def test_full_size_body_has_the_published_names() -> None:
    with torch.device("meta"):
        encoder = PyramidEncoder(
            pyramid_preset("ir-se-50", in_channels=3, input_size=256, num_ws=18, w_dim=512)
        )
    shapes = {key: list(value.shape) for key, value in encoder.state_dict().items()}
    assert shapes["input_layer.0.weight"] == [64, 3, 3, 3] and shapes["input_layer.2.weight"] == [64]
    assert shapes["body.23.res_layer.5.fc1.weight"] == [32, 512, 1, 1]
    assert shapes["latlayer1.weight"] == [512, 256, 1, 1] and shapes["latlayer2.weight"] == [512, 128, 1, 1]
    shortcuts = {int(key.split(".")[1]) for key in shapes if "shortcut_layer.0" in key}
    assert shortcuts == {3, 7, 21} and "body.24.res_layer.0.weight" not in shapes
    convs = [sum(f"styles.{i}.convs.{2 * k}.weight" in shapes for k in range(7)) for i in (0, 3, 7, 17)]
    assert convs == [4, 5, 6, 6] and shapes["styles.17.linear.weight"] == [512, 512]


@pytest.mark.parametrize(("size", "num_ws"), [(16, 6), (64, 10)])
@pytest.mark.parametrize("heads", ["single", "grouped"])
def test_pyramid_gives_one_code_a_style(size: int, num_ws: int, heads: Any) -> None:
    body = IRSEConfig(
        in_channels=4, stem_width=4, stem_stride=2, widths=(4, 6, 8), units=(1, 1, 1), strides=(2, 2, 2)
    )
    encoder = PyramidEncoder(
        PyramidEncoderConfig(size, num_ws, 12, body, pyramid_width=8, head_width=4, heads=heads)
    )
    assert encoder(torch.randn(2, 4, size, size)).shape == (2, num_ws, 12)


@pytest.mark.parametrize("early", [False, True])
def test_stages_halve(early: bool) -> None:
    body = IRSEBody(
        IRSEConfig(
            in_channels=5, stem_width=4, widths=(4, 6), units=(2, 1), strides=(2, 2), stride_early=early
        )
    )
    assert [list(m.shape) for m in body.stages(torch.randn(2, 5, 16, 16))] == [[2, 4, 8, 8], [2, 6, 4, 4]]


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(ConfigError, match="must name the same stages"):
        IRSEConfig(widths=(8, 8), units=(1,), strides=(2, 2))
    with pytest.raises(ConfigError, match=r"lie at 1/\[2, 4, 8\]"):
        PyramidEncoderConfig(body=IRSEConfig(widths=(8, 8, 8), units=(1, 1, 1), strides=(2, 2, 2)))
    with pytest.raises(ConfigError, match="power of two"):
        PyramidEncoderConfig(input_size=48)
    with pytest.raises(UnknownNameError, match="did you mean 'small'"):
        pyramid_preset("smal", in_channels=4, input_size=64, num_ws=10, w_dim=64)
    with pytest.raises(ConfigError, match=r"possible: \[32, 16\]"):
        SkipOptions(resolutions=(64,), input_size=64, widths=(8, 8), units=(1, 1))


def test_batch_statistics_are_for_training_only(config: NetworkConfig, backbone: Backbone) -> None:
    encoder = ErasedEncoder(config, backbone.w_avg).eval()
    x, v = torch.randn(3, 3, 16, 16), torch.ones(3, 1, 16, 16)
    alone, together = encoder(x[:1], v[:1]), encoder(x, v)[:1]
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-4)
    before = {k: b.clone() for k, b in encoder.named_buffers()}
    encoder.train()(x, v)
    moved = [k for k, b in encoder.named_buffers() if not torch.equal(b, before[k])]
    assert any("running_mean" in k for k in moved) and "w_avg" not in moved


def test_encoder_starts_at_the_mean_code(config: NetworkConfig, backbone: Backbone) -> None:
    w_enc = ErasedEncoder(config, backbone.w_avg)(torch.randn(4, 3, 16, 16), torch.ones(4, 1, 16, 16))
    assert w_enc.shape == (4, backbone.num_ws, backbone.w_dim)
    assert float((w_enc.detach() - backbone.w_avg).square().mean().sqrt()) < config.w_std


@pytest.mark.parametrize("loud", [1e6, float("inf"), float("nan")])
def test_nothing_in_the_hole_reaches_the_networks(
    loud: float, config: NetworkConfig, backbone: Backbone
) -> None:
    x, y1 = torch.randn(2, 3, 16, 16), torch.randn(2, 3, 16, 16)
    v = (torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(1)) > 0.4).float()
    shouted = torch.where(v > 0, x, torch.tensor(loud))
    encoder, skip = ErasedEncoder(config, backbone.w_avg).eval(), SkipEncoder(config).eval()
    assert torch.equal(encoder(x, v), encoder(shouted, v))
    assert all(
        torch.equal(a, b) for a, b in zip(skip(x, v, y1).values(), skip(shouted, v, y1).values(), strict=True)
    )
    assert torch.equal(shrink_erased(x, v, 4)[0], shrink_erased(shouted, v, 4)[0])


def test_shrinking_takes_the_mean_of_known_pixels() -> None:
    x, v = torch.full((1, 3, 4, 4), 0.5), torch.ones(1, 1, 4, 4)
    v[..., :2, :2] = 0
    v[..., 0, 2] = 0
    x[..., 0, 3] = 1.0
    small, known = shrink_erased(x, v, 2)
    assert known.flatten().tolist() == [0, 0, 1, 1]
    assert small[0, 0].flatten().tolist() == pytest.approx([0, 2 / 3, 0.5, 0.5])
    with pytest.raises(UsageError, match="must divide 4"):
        shrink_erased(x, v, 3)


def test_gate_starts_half_open_and_blends(config: NetworkConfig, backbone: Backbone) -> None:
    mixing = GatedMixing(config, backbone.w_avg)
    a, b = (backbone.w_avg + torch.randn(64, backbone.num_ws, backbone.w_dim) for _ in range(2))
    visible = (torch.rand(64, 1, 16, 16) > 0.5).float()
    with torch.no_grad():
        y_comb, logits = mixing.mix(a, b, visible)
    w_comb = backbone.w_avg + y_comb * config.w_std
    assert logits is not None
    assert abs(float(torch.sigmoid(logits).mean()) - 0.5) < 0.02 and float(logits.std()) < 0.3
    assert float((w_comb - a).std()) < 0.3 * config.w_std
    gate = torch.sigmoid(logits)
    torch.testing.assert_close(mixing(a, b, visible), gate * w_comb + (1 - gate) * b)


def test_the_gate_works_in_the_coordinates_of_the_basis(config: NetworkConfig, backbone: Backbone) -> None:
    mixing = GatedMixing(config, backbone.w_avg)
    basis = torch.randn(backbone.w_dim, backbone.w_dim) + 3 * torch.eye(backbone.w_dim)
    mixing.basis.copy_(basis)
    with torch.no_grad():
        mixing.delta.weight.zero_()
        assert mixing.logit is not None
        mixing.logit.weight.zero_()
        mixing.logit.bias.fill_(-100)
        mixing.logit.bias[..., 0] = 100  # the first coordinate is the encoder's, all others the random code's
    a, b = (backbone.w_avg + torch.randn(4, backbone.num_ws, backbone.w_dim) for _ in range(2))
    y = (mixing(a, b, torch.ones(4, 1, 16, 16)) - backbone.w_avg) @ basis
    torch.testing.assert_close(y[..., 0], ((a - backbone.w_avg) @ basis)[..., 0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(y[..., 1:], ((b - backbone.w_avg) @ basis)[..., 1:], atol=1e-3, rtol=1e-3)


def test_what_is_visible_is_heard(config: NetworkConfig, backbone: Backbone) -> None:
    mixing = GatedMixing(config, backbone.w_avg)
    a, b = (backbone.w_avg + torch.randn(1, backbone.num_ws, backbone.w_dim) for _ in range(2))
    seen, hidden = torch.ones(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    assert not torch.allclose(mixing(a, b, seen), mixing(a, b, hidden))
    blind = replace(config, mixing=replace(config.mixing, visible_side=0))
    deaf = GatedMixing(blind, backbone.w_avg)
    assert torch.equal(deaf(a, b, seen), deaf(a, b, hidden))


def test_each_layer_has_weights_of_its_own(config: NetworkConfig, backbone: Backbone) -> None:
    mixing = GatedMixing(config, backbone.w_avg)
    code = torch.randn(2, 1, backbone.w_dim).repeat(1, backbone.num_ws, 1)
    visible = torch.ones(2, 1, 16, 16)
    out = mixing(code, -code, visible)
    assert not torch.allclose(out[:, 0], out[:, 1])
    changed = code.clone()
    changed[:, 2] += 1
    same = (mixing(changed, -code, visible) == out).flatten(2).all(2)
    assert same[:, [0, 1, 3]].all() and not same[:, 2].any()


def test_without_a_gate_the_combined_code_is_the_answer(backbone: Backbone) -> None:
    mixing = GatedMixing(NetworkConfig.for_backbone(backbone, gate=False), backbone.w_avg)
    a, b = torch.randn(2, 2, backbone.num_ws, backbone.w_dim)
    visible = torch.ones(2, 1, 16, 16)
    assert mixing.logit is None
    y = (mixing(a, b, visible) - backbone.w_avg) @ mixing.basis
    torch.testing.assert_close(y, mixing.mix(a, b, visible)[0])


def test_truncation_of_the_random_code_is_seen(config: NetworkConfig, backbone: Backbone) -> None:
    mixing = GatedMixing(config, backbone.w_avg)
    a, b = (backbone.w_avg + torch.randn(2, backbone.num_ws, backbone.w_dim) for _ in range(2))
    visible, half = torch.ones(2, 1, 16, 16), torch.lerp(backbone.w_avg, b, 0.5)
    assert not torch.allclose(mixing.mix(a, b, visible)[0], mixing.mix(a, half, visible)[0])


def test_skip_features_start_closed_and_small(config: NetworkConfig, backbone: Backbone) -> None:
    skip = SkipEncoder(config)
    x, v = torch.randn(2, 3, 16, 16), torch.ones(2, 1, 16, 16)
    gate, residual = skip.heads(x, v, x)[8]
    assert gate.shape == residual.shape == (2, backbone.feature_channels[8], 8, 8)
    assert float(torch.sigmoid(gate.detach()).mean()) == pytest.approx(0.047, abs=0.01)
    delta = skip(x, v, x)[8]
    assert 0 < float(delta.detach().abs().max()) < 0.1
    delta.square().sum().backward()
    assert all(p.grad is not None for p in skip.parameters())


@pytest.mark.parametrize(
    ("resolution", "expected"), [(16, (8,)), (32, (16,)), (64, (32,)), (128, (32, 64)), (1024, (32, 64, 128))]
)
def test_sizes_follow_the_backbone(resolution: int, expected: tuple[int, ...]) -> None:
    config = NetworkConfig.for_backbone(sized(resolution))
    assert config.skip.resolutions == expected and set(config.feature_channels) == set(expected)
    assert config.encoder.preset == (
        "ir-se-50" if resolution >= 256 else "small" if resolution >= 64 else "tiny"
    )
    assert config.encoder.input_size == min(resolution, 256)
    assert NetworkConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize("w_dim", [128, 256])
def test_networks_for_64_px_are_small(w_dim: int) -> None:
    backbone = sized(64, w_dim=w_dim, channels=256)
    config = NetworkConfig.for_backbone(backbone)
    assert parameters(ErasedEncoder(config, backbone.w_avg)) <= 6_000_000
    assert parameters(GatedMixing(config, backbone.w_avg)) <= 2_000_000
    skip = SkipEncoder(config)
    assert parameters(skip) <= 6_000_000
    x = torch.randn(1, 3, 64, 64)
    assert skip(x, x[:, :1], x)[32].shape == (1, 256, 32, 32)


def test_skip_encoder_at_several_resolutions() -> None:
    config = NetworkConfig.for_backbone(
        sized(128, w_dim=16, channels=8), preset="tiny", skip_resolutions=(16, 64)
    )
    x = torch.randn(1, 3, 128, 128)
    assert {r: tuple(d.shape) for r, d in SkipEncoder(config)(x, x[:, :1], x).items()} == {
        16: (1, 8, 16, 16),
        64: (1, 8, 64, 64),
    }


def test_wrong_sizes_and_descriptions_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"skip resolutions \[64\] do not fit this backbone; possible: \[8, 16, 32\]"
    ):
        NetworkConfig.for_backbone(sized(64), skip_resolutions=(64,))
    data = NetworkConfig.for_backbone(sized(64)).to_json()
    with pytest.raises(CheckpointError, match="does not fit"):
        NetworkConfig.from_json({**data, "wings": 2})


def test_strided_shortcuts_survive_few_channels() -> None:
    """oneDNN's strided 1x1 kernel overruns its buffers here; the numbers are those of a plain convolution."""
    from ganinv.encoders.ir_se import Pointwise

    layer = Pointwise(12, 8, 2).to(memory_format=torch.channels_last)
    x = torch.randn(8, 12, 64, 64).to(memory_format=torch.channels_last).requires_grad_()
    found = layer(x)
    plain = torch.nn.functional.conv2d(x.detach().contiguous(), layer.weight.detach().contiguous(), stride=2)
    torch.testing.assert_close(found, plain)
    found.square().sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.isfinite().all()
