"""A conformance kit for authors of inversion methods.

from ganinv.testing import check_method

def test_my_method(my_backbone):
    check_method(build(my_backbone))
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganinv.errors import UsageError
from ganinv.images import to_tensor, to_uint8
from ganinv.inversion import Inversion
from ganinv.method import InversionMethod
from ganinv.sampling import sample_seeds, sample_z

# Batched products may round differently at another place in the batch; codes and pictures are of size 1.
_TOLERANCE = 1e-3


class ConformanceError(AssertionError):
    """What a method does against the contract; `failures` has one line for each."""

    def __init__(self, failures: list[str]) -> None:
        self.failures = tuple(failures)
        super().__init__("the method breaks its contract:\n" + "\n".join(f"- {line}" for line in failures))


@dataclass(frozen=True)
class _Case:
    """Two pictures of the backbone's own, with their left halves erased, inverted into three samples each."""

    method: InversionMethod
    images: Tensor
    holes: Tensor
    result: Inversion
    seed: int = 7


def check_method(method: InversionMethod) -> None:
    """Tries a method against the contract of `InversionMethod`, on pictures made by its own backbone.

    Checked: shapes and dtypes, finite values, seeds, same seed same bits, untouched global random state and
    arguments, nothing from inside the hole reaching the codes, samples that differ in the hole if
    `method.diverse` says so and not otherwise, a sample that does not depend on K or on the batch, K = 1 and
    3, a batch of 2, an empty and a full hole, a file that draws the same bits, refusal of impossible
    arguments.

    Raises:
        ConformanceError: lists all that failed.
    """
    backbone = method.backbone
    device = next(backbone.parameters()).device
    with torch.no_grad():
        codes = backbone.map(sample_z(1, 2, backbone.z_dim).to(device), backbone.classes(2))
        images = to_tensor(to_uint8(backbone.synthesize(codes).images)).to(device)
    holes = torch.zeros(2, 1, *images.shape[2:], device=device)
    holes[..., : images.shape[3] // 2] = 1
    try:
        result = method.invert(images.clone(), holes.clone(), samples=3, seed=_Case.seed)
        case = _Case(method, images, holes, result)
    except Exception as cause:  # whatever it is, the author wants it in the list
        raise ConformanceError([f"invert: raised {type(cause).__name__}: {cause}"]) from cause
    failures = []
    for name, check in _CHECKS.items():
        try:
            failures += [f"{name}: {line}" for line in check(case)]
        except Exception as cause:
            failures.append(f"{name}: raised {type(cause).__name__}: {cause}")
    if failures:
        raise ConformanceError(failures)


def _result(case: _Case) -> Iterator[str]:
    backbone, found = case.method.backbone, case.result
    expected = (2, 3, backbone.num_ws, backbone.w_dim)
    if not isinstance(found, Inversion):
        yield f"invert gave a {type(found).__name__}, not an Inversion"
        return
    if tuple(found.ws.shape) != expected:
        yield f"ws is {list(found.ws.shape)}; expected {list(expected)}"
    if not found.ws.isfinite().all():
        yield "ws holds infinite values or NaN"
    tensors = [found.ws, found.working, found.hole, *found.features.values()]
    if any(t.device not in (case.images.device, torch.device("cpu")) or t.requires_grad for t in tensors):
        yield "its tensors must be on the backbone's device, or on the CPU, and need no gradient"
    if found.seeds != sample_seeds(case.seed, 3):
        yield "seeds are not sample_seeds(seed, samples)"
    if not torch.equal(found.working.permute(0, 2, 3, 1).cpu(), torch.tensor(to_uint8(case.images))):
        yield "working is not to_uint8(images)"
    if not torch.equal(found.hole.float().cpu(), case.holes.cpu()):
        yield "hole is not the one given"
    for side, feature in found.features.items():
        channels = backbone.feature_channels.get(side)
        if feature.shape[2] != channels:
            yield f"features of {side} px have {feature.shape[2]} channels; the backbone's have {channels}"
    if found.backbone.get("sha256") != (backbone.sha256 or None):
        yield "backbone is not backbone_record(method.backbone)"
    if found.method.get("name") != case.method.name:
        yield f"method['name'] is {found.method.get('name')!r}; expected {case.method.name!r}"


def _drawing(case: _Case) -> Iterator[str]:
    images = case.method.render(case.result)
    side = case.method.backbone.resolution
    if tuple(images.shape) != (2, 3, 3, side, side) or images.dtype != torch.float32:
        expected = [2, 3, 3, side, side]
        yield f"render gave {images.dtype} {list(images.shape)}; expected torch.float32 {expected}"
        return
    if not images.isfinite().all():
        yield "render gave infinite values or NaN"
    if not torch.equal(images, case.method.render(case.result)):
        yield "render gave other bits the second time"
    if not torch.equal(images, case.method.render(case.result, case.result.ws.clone())):
        yield "render gave other bits for the inversion's own codes"
    inside = images.flatten(3)[:, :, :, case.holes[0].flatten().to(images.device) > 0]
    differs = not _close(inside[:, 0], inside[:, 1])
    if differs != case.method.diverse:
        found = "differ" if differs else "do not differ"
        yield f"samples {found} in the hole, and diverse is {case.method.diverse}"


def _same_bits(case: _Case) -> Iterator[str]:
    images, holes, state = case.images.clone(), case.holes.clone(), torch.get_rng_state()
    again = case.method.invert(images, holes, samples=3, seed=case.seed)
    if not _equal(again, case.result):
        yield "the same arguments gave other bits the second time"
    if not torch.equal(state, torch.get_rng_state()):
        yield "invert used the global random state; draw from a torch.Generator of your own"
    if not torch.equal(images, case.images) or not torch.equal(holes, case.holes):
        yield "invert changed its arguments"
    other = case.method.invert(case.images, case.holes, samples=3, seed=case.seed + 1)
    if case.method.diverse and torch.equal(other.ws, case.result.ws):
        yield "another seed gave the same codes"


def _leak(case: _Case) -> Iterator[str]:
    loud = torch.where(case.holes > 0, torch.full_like(case.images, 1e6), case.images)
    found = case.method.invert(loud, case.holes, samples=3, seed=case.seed)
    if not torch.equal(found.ws, case.result.ws):
        yield "the codes change with what the picture holds inside the hole"
    if any(not torch.equal(found.features[side], f) for side, f in case.result.features.items()):
        yield "the features change with what the picture holds inside the hole"


def _independence(case: _Case) -> Iterator[str]:
    single = case.method.invert(case.images, case.holes, samples=1, seed=case.seed)
    if single.ws.shape[1] != 1 or single.seeds != case.result.seeds[:1]:
        yield f"one sample was asked for; ws is {list(single.ws.shape)} with seeds {single.seeds}"
    elif not _close(single.ws[:, 0], case.result.ws[:, 0]):
        yield "sample 0 depends on the number of samples"
    second = case.method.invert(case.images[1:], case.holes[1:], samples=3, seed=case.seed)
    if not _close(second.ws[0], case.result.ws[1]):
        yield "a picture's codes depend on the others in its batch"


def _holes(case: _Case) -> Iterator[str]:
    nothing = torch.zeros_like(case.holes)
    empty = case.method.invert(case.images, nothing, samples=1, seed=case.seed)
    absent = case.method.invert(case.images, None, samples=1, seed=case.seed)
    if not _equal(empty, absent):
        yield "a hole of zeros and no hole gave different results"
    full = case.method.invert(case.images, torch.ones_like(case.holes), samples=1, seed=case.seed)
    if not full.ws.isfinite().all() or not empty.ws.isfinite().all():
        yield "a hole of zeros, or of ones, gave infinite values or NaN"


def _file(case: _Case) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path, again = Path(folder) / "one.safetensors", Path(folder) / "two.safetensors"
        case.result.save(path)
        loaded = Inversion.load(path)
        loaded.save(again)
        if path.read_bytes() != again.read_bytes():
            yield "a loaded inversion was saved as other bytes"
    if not torch.equal(case.method.render(loaded), case.method.render(case.result)):
        yield "a saved and loaded inversion draws other bits"


def _refusals(case: _Case) -> Iterator[str]:
    impossible: dict[str, Callable[[], object]] = {
        "samples=0": lambda: case.method.invert(case.images, case.holes, samples=0),
        "pictures of half the size": lambda: case.method.invert(case.images[..., ::2, ::2]),
        "holes of half the size": lambda: case.method.invert(case.images, case.holes[..., ::2, ::2]),
    }
    for what, call in impossible.items():
        try:
            call()
        except UsageError:
            continue
        except Exception as cause:
            yield f"{what} raised {type(cause).__name__}; expected UsageError"
        else:
            yield f"{what} was accepted; expected UsageError"


_CHECKS: dict[str, Callable[[_Case], Iterator[str]]] = {
    "result": _result,
    "render": _drawing,
    "same seed": _same_bits,
    "hole": _leak,
    "independence": _independence,
    "empty and full hole": _holes,
    "file": _file,
    "refusals": _refusals,
}


def _equal(a: Inversion, b: Inversion) -> bool:
    return (
        torch.equal(a.ws, b.ws)
        and a.seeds == b.seeds
        and torch.equal(a.working, b.working)
        and torch.equal(a.hole, b.hole)
        and a.features.keys() == b.features.keys()
        and all(torch.equal(f, b.features[side]) for side, f in a.features.items())
    )


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= _TOLERANCE * (1 + b.abs().max()))
