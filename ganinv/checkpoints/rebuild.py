"""What the globals of a checkpoint's pickle stand for. This list is the whole of what a file can make.

Tensors are rebuilt as views of storages that the file holds; dictionaries of every kind become dict, a
Namespace too; NVIDIA's persistent modules become `PersistentModule`, their embedded source unread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ganinv.checkpoints.machine import Global, PickleError

STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
NUMPY = {
    "f8": torch.float64,
    "f4": torch.float32,
    "f2": torch.float16,
    "i8": torch.int64,
    "i4": torch.int32,
    "i2": torch.int16,
    "i1": torch.int8,
    "u1": torch.uint8,
    "b1": torch.bool,
}
MAX_EXPANDED = 1 << 22  # elements of a tensor that repeats its storage (stride 0)
MAX_MODULES, MAX_DEPTH = 20_000, 32


@dataclass(frozen=True)
class Storage:
    """A run of numbers of one type. None: its bytes come later in the file; only sizes are known yet."""

    numel: int
    values: Tensor | None


@dataclass
class PersistentModule:
    """A module of an NVIDIA snapshot: the name of its class and its attributes, without its source.

    Not trusted yet: `state` holds whatever the file says.
    """

    class_name: str
    state: dict[str, Any] = field(repr=False)

    def attribute(self, name: str, default: Any = None) -> Any:
        """A plain attribute, a buffer or a parameter of this module, or `default`."""
        for table in (self.state, self._table("_parameters"), self._table("_buffers")):
            if name in table:
                return table[name]
        return default

    def children(self) -> dict[str, PersistentModule]:
        """Its submodules by name, in order."""
        found = self._table("_modules")
        return {name: child for name, child in found.items() if isinstance(child, PersistentModule)}

    def modules(self, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, PersistentModule]]:
        """(dotted prefix, module) of this module and all below it. Raises PickleError for a tree without
        end.
        """
        if depth > MAX_DEPTH:
            raise PickleError(f"its modules are nested deeper than {MAX_DEPTH}")
        yield prefix, self
        for name, child in self.children().items():
            yield from child.modules(f"{prefix}{name}.", depth + 1)

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers of the whole tree by dotted name; those that are None are left out."""
        found: dict[str, Tensor] = {}
        for count, (prefix, module) in enumerate(self.modules()):
            if count > MAX_MODULES:
                raise PickleError(f"it has over {MAX_MODULES} modules")
            for table in ("_parameters", "_buffers"):
                for name, value in module._table(table).items():
                    if isinstance(value, Tensor):
                        found[f"{prefix}{name}"] = value
        return found

    def _table(self, name: str) -> dict[str, Any]:
        table = self.state.get(name)
        return table if isinstance(table, dict) else {}


@dataclass
class _Dtype:
    """A numpy data type on its way; BUILD adds the byte order."""

    code: str
    order: str = "<"


class _Array:
    """A numpy array on its way; BUILD adds everything."""


class _Bag:
    """An object that only carries attributes: a Namespace."""


class Rebuilder:
    """Answers the machine's calls. `nested(bytes)` opens a storage file inside the pickle."""

    def __init__(self, nested: Callable[[Any], Any]) -> None:
        self.nested = nested
        self.calls: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): _mapping,
            ("builtins", "dict"): _mapping,
            ("dnnlib.util", "EasyDict"): _mapping,
            ("argparse", "Namespace"): lambda: {},
            ("builtins", "set"): lambda items=(): set(items),
            ("builtins", "frozenset"): lambda items=(): frozenset(items),
            ("builtins", "bytearray"): lambda value=b"", *_: bytes(value),
            ("_codecs", "encode"): _encode,
            ("copyreg", "_reconstructor"): self._reconstructor,
            ("pathlib", "PosixPath"): lambda *parts: "/".join(map(str, parts)),
            ("pathlib", "WindowsPath"): lambda *parts: "/".join(map(str, parts)),
            ("torch", "Size"): lambda sizes=(): tuple(sizes),
            ("torch", "device"): lambda *name: ":".join(map(str, name)),
            ("torch._utils", "_rebuild_tensor"): _tensor,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: _a_tensor(data),
            ("torch.storage", "_load_from_bytes"): self.nested,
            ("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent,
            ("numpy", "dtype"): lambda code, *_: _Dtype(_text(code).lstrip("<|=>")),
            ("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(),
            ("numpy.core.multiarray", "scalar"): _scalar,
            ("numpy.core.numeric", "_frombuffer"): _from_buffer,
        }

    def call(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        """The value of `function(*arguments)`. Raises PickleError for every function that is not listed."""
        if not isinstance(function, Global):
            raise PickleError(f"its pickle calls a {type(function).__name__}")
        handler = self.calls.get(_place(function))
        if handler is None:
            raise PickleError(f"it asks for {str(function)[:120]}, which no checkpoint needs")
        return handler(*arguments)

    def build(self, target: Any, state: Any) -> Any:
        """The value of an object given its state: attributes of a dictionary class are dropped or kept."""
        if isinstance(target, _Array):
            return _array(*state[1:])
        if isinstance(target, _Dtype):
            target.order = _text(state[1])
            return target
        if isinstance(target, dict):
            if not target and isinstance(state, dict):  # a Namespace: its attributes are its content
                target.update(state)
            return target  # an OrderedDict with attributes (a state dict's _metadata)
        raise PickleError(f"its pickle gives a state to a {type(target).__name__}")

    def _reconstructor(self, cls: Any, base: Any, _: Any) -> Any:
        if base != Global("builtins", "object") and base != Global("__builtin__", "object"):
            raise PickleError(f"it asks for {str(cls)[:120]} made from {str(base)[:120]}")
        return self.call(cls, ())


def _place(name: Global) -> tuple[str, str]:
    """Names that mean the same in old and new versions, as one."""
    module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(name.module, name.module)
    if module.startswith("numpy._core."):
        module = "numpy.core." + module.removeprefix("numpy._core.")
    return module, name.name


def _mapping(items: Any = ()) -> dict[Any, Any]:
    return dict(items)


def _encode(text: Any, encoding: Any = "utf-8") -> bytes:
    if encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise PickleError(f"its pickle encodes text as {str(encoding)[:40]}")
    return _text(text).encode(encoding)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise PickleError(f"its pickle has a {type(value).__name__} where a text belongs")
    return value


def _a_tensor(value: Any) -> Any:
    if value is not None and not isinstance(value, Tensor):
        raise PickleError(f"its pickle makes a parameter of a {type(value).__name__}")
    return value


def _persistent(meta: Any) -> PersistentModule:
    state = meta.get("state") if isinstance(meta, dict) else None
    if not isinstance(state, dict) or meta.get("type") != "class":
        raise PickleError("its persistent object has no class and state")
    return PersistentModule(_text(meta.get("class_name")), state)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor | None:
    """A view of a storage, its bounds checked (PyTorch would enlarge a storage that is too small)."""
    if not isinstance(storage, Storage):
        raise PickleError(f"its pickle makes a tensor of a {type(storage).__name__}")
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or len(size) > 16 or any(type(n) is not int or n < 0 for n in numbers):
        raise PickleError(f"it has a tensor of size {str(size)[:60]} and stride {str(stride)[:60]}")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if (count and last >= storage.numel) or (count > max(storage.numel, MAX_EXPANDED)):
        raise PickleError(f"it has a tensor of size {list(size)} over a storage of {storage.numel} numbers")
    if storage.values is None:
        return None
    return storage.values.as_strided(size, stride, offset) if count else storage.values.new_empty(size)


def _array(shape: Any, dtype: Any, fortran: Any, data: Any) -> Tensor:
    """A numpy array's state -> a tensor."""
    if not isinstance(dtype, _Dtype) or dtype.code not in NUMPY or dtype.order == ">":
        raise PickleError(f"it has a numpy array of type {getattr(dtype, 'code', dtype)!s:.40}")
    kind = NUMPY[dtype.code]
    if not isinstance(data, bytes | memoryview) or any(type(n) is not int or n < 0 for n in shape):
        raise PickleError("it has a numpy array without its bytes")
    if len(shape) > 16 or math.prod(shape) * kind.itemsize != len(data):
        raise PickleError(f"it has a numpy array of shape {str(shape)[:60]} in {len(data)} bytes")
    flat = torch.frombuffer(bytearray(data), dtype=kind) if len(data) else torch.empty(0, dtype=kind)
    return (
        flat.reshape(tuple(reversed(shape))).permute(*reversed(range(len(shape))))
        if fortran
        else flat.reshape(shape)
    )


def _scalar(dtype: Any, data: Any) -> Any:
    return _array((), dtype, False, data).item()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> Tensor:
    return _array(shape, dtype, order == "F", data)
