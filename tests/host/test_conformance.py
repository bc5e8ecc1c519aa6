"""The conformance kit passes a method that keeps the contract and names what others break."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv.inversion import Inversion
from ganinv.method import InversionMethod
from ganinv.testing import ConformanceError, check_method


def test_a_method_that_keeps_it(fake_method: InversionMethod) -> None:
    check_method(fake_method)


def leaks(
    method: Any, images: Tensor, holes: Tensor | None, invert: Callable[..., Inversion], **kw: Any
) -> Inversion:
    return invert(images, None, **kw)


def wanders(
    method: Any, images: Tensor, holes: Tensor | None, invert: Callable[..., Inversion], **kw: Any
) -> Inversion:
    found = invert(images, holes, **kw)
    return replace(found, ws=found.ws + torch.randn_like(found.ws))


def repeats(
    method: Any, images: Tensor, holes: Tensor | None, invert: Callable[..., Inversion], **kw: Any
) -> Inversion:
    found = invert(images, holes, **kw)
    return replace(found, ws=found.ws[:, :1].repeat(1, found.samples, 1, 1))


def mixes(
    method: Any, images: Tensor, holes: Tensor | None, invert: Callable[..., Inversion], **kw: Any
) -> Inversion:
    found = invert(images, holes, **kw)
    return replace(found, ws=found.ws + len(images))


def counts(
    method: Any, images: Tensor, holes: Tensor | None, invert: Callable[..., Inversion], **kw: Any
) -> Inversion:
    found = invert(images, holes, **kw)
    return replace(found, ws=found.ws + found.samples)


def overflows(
    method: Any, images: Tensor, holes: Tensor | None, invert: Callable[..., Inversion], **kw: Any
) -> Inversion:
    found = invert(images, holes, **kw)
    return replace(found, ws=found.ws / 0)


def renumbers(
    method: Any, images: Tensor, holes: Tensor | None, invert: Callable[..., Inversion], **kw: Any
) -> Inversion:
    found = invert(images, holes, **kw)
    return replace(found, seeds=tuple(range(found.samples)), backbone={}, method={})


def scribbles(
    method: Any, images: Tensor, holes: Tensor | None, invert: Callable[..., Inversion], **kw: Any
) -> Inversion:
    found = invert(images, holes, **kw)
    images.zero_()
    return found


def fails(
    method: Any, images: Tensor, holes: Tensor | None, invert: Callable[..., Inversion], **kw: Any
) -> Inversion:
    raise RuntimeError("not today")


@pytest.mark.parametrize(
    ("fault", "texts"),
    [
        (
            leaks,
            ["hole is not the one given", "the codes change with what the picture holds inside the hole"],
        ),
        (wanders, ["gave other bits the second time", "invert used the global random state"]),
        (repeats, ["samples do not differ in the hole, and diverse is True"]),
        (mixes, ["a picture's codes depend on the others in its batch"]),
        (counts, ["sample 0 depends on the number of samples"]),
        (overflows, ["ws holds infinite values or NaN"]),
        (
            renumbers,
            ["seeds are not sample_seeds", "backbone is not backbone_record", "method['name'] is None"],
        ),
        (scribbles, ["invert changed its arguments"]),
        (fails, ["invert: raised RuntimeError: not today"]),
    ],
)
def test_a_method_that_breaks_it(
    fake_method: InversionMethod,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[..., Inversion],
    texts: list[str],
) -> None:
    sound = fake_method.invert

    def invert(images: Tensor, holes: Tensor | None = None, **options: Any) -> Inversion:
        return fault(fake_method, images, holes, sound, **options)

    monkeypatch.setattr(fake_method, "invert", invert)
    with pytest.raises(ConformanceError) as caught:
        check_method(fake_method)
    for text in texts:
        assert text in str(caught.value)
    assert len(caught.value.failures) == str(caught.value).count("\n- ")


def test_a_method_that_promises_too_little(
    fake_method: InversionMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_method, "diverse", False)
    with pytest.raises(ConformanceError, match="samples differ in the hole, and diverse is False"):
        check_method(fake_method)


def test_a_method_that_accepts_anything(
    fake_method: InversionMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lenient(images: Tensor, holes: Tensor | None, samples: int) -> Tensor:
        return torch.zeros(len(images), 1, 8, 8) if holes is None else holes

    monkeypatch.setattr(fake_method, "check_inputs", lenient)
    with pytest.raises(
        ConformanceError, match=r"pictures of half the size raised|was accepted; expected UsageError"
    ):
        check_method(fake_method)
