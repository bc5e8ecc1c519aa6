"""A pickle reader that can only make plain data: a stack machine over the opcodes of protocols 0 to 5.

Nothing is imported and nothing of the file is called. A global of the file becomes a `Global`, a pair of
names; calling one asks `ganinv.checkpoints.rebuild`, which knows the few that checkpoints need and refuses
the rest by name. Every declared length is checked against the bytes that are there, the number of opcodes is
limited, and no step recurses, so that time and memory stay in proportion to the file. The steps themselves
are in `opcodes`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_DIGITS = 4_000  # of a number


class PickleError(Exception):
    """What is wrong with a pickle, for the message of a CheckpointError."""


@dataclass(frozen=True)
class Global:
    """The name of a class or function in a pickle. It is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


Call = Callable[[Any, tuple[Any, ...]], Any]
Build = Callable[[Any, Any], Any]
Load = Callable[[Any], Any]

MARK = object()
"""What a step puts on the stack below the items of a collection."""


class Machine:
    """What reading one pickle after another from a buffer needs: the place, the stack and the memo.

    data: the bytes. at: where the next pickle starts.
    call(callable, arguments): the value of a REDUCE. build(object, state): the value of a BUILD.
    load(id): the value of a persistent id.
    """

    def __init__(self, data: memoryview, call: Call, build: Build, load: Load, at: int = 0) -> None:
        self.data, self.at = data, at
        self.call, self.build, self.load = call, build, load
        self.opcodes = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def take(self, count: int) -> memoryview:
        if count < 0 or self.at + count > len(self.data):
            raise PickleError(f"its pickle is cut off at byte {len(self.data)}")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        """Text up to the next newline; numbers and names of protocol 0 are short."""
        window = bytes(self.data[self.at : self.at + MAX_DIGITS])
        end = window.find(b"\n")
        if end < 0:
            raise PickleError(f"its pickle is damaged near byte {self.at} (no end of line)")
        self.at += end + 1
        return window[:end].decode("utf-8")

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is MARK:
            raise PickleError(f"its pickle is damaged near byte {self.at} (a mark where a value belongs)")
        return value

    def pop_mark(self) -> list[Any]:
        """The values above the last mark, which goes too."""
        at = len(self.stack) - 1
        while self.stack[at] is not MARK:
            at -= 1
            if at < 0:
                raise PickleError(f"its pickle is damaged near byte {self.at} (no mark)")
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def top(self, kind: type) -> Any:
        value = self.stack[-1]
        if type(value) is not kind:
            raise PickleError(f"its pickle is damaged near byte {self.at} (no {kind.__name__} to fill)")
        return value
