"""The steps of all opcodes of pickle protocols 0 to 5, and the loop over them; see `machine`.

The opcodes are those of the pickle module's documentation (PEP 307, 3154 and 574).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from ganinv.checkpoints.machine import MARK, MAX_DIGITS, Global, Machine, PickleError

MAX_OPCODES = 600_000
"""A snapshot of three 64 px networks has 57,000, one of 1024 px about twice that; 600,000 take a second."""
DAMAGE = (
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    OverflowError,
    AttributeError,
    RuntimeError,
    struct.error,
)
"""What steps and rebuilders raise on contents that do not fit; anything else is a mistake of ours."""
VIEW_FROM = 1 << 16  # longer byte strings are views of the file, not copies


def read_pickle(m: Machine) -> Any:
    """The value of the pickle at `m.at`, which moves behind it.

    Raises:
        PickleError: damaged, too long, or with something that is not plain data.
    """
    m.stack, m.memo = [], {}
    try:
        while True:
            m.opcodes += 1
            if m.opcodes > MAX_OPCODES:
                raise PickleError(f"its pickle has over {MAX_OPCODES:,} steps")
            code = m.take(1)[0]
            if code == 0x2E:  # STOP
                return m.pop()
            step = STEPS.get(code)
            if step is None:
                raise PickleError(f"its pickle has the unknown opcode 0x{code:02x} at byte {m.at - 1}")
            step(m)
    except PickleError:
        raise
    except DAMAGE as cause:
        raise PickleError(f"its pickle is damaged near byte {m.at} ({type(cause).__name__})") from None


def _key(value: Any) -> Any:
    """A dictionary key or set element: plain, or a flat tuple, because hashing a deep one recurses."""
    plain = (str, int, float, bool, bytes, type(None), Global)
    if type(value) in plain or (type(value) is tuple and all(type(v) in plain for v in value)):
        return value
    raise PickleError(f"its pickle has a {type(value).__name__} as a key")


def _fill(target: dict[Any, Any], items: list[Any]) -> None:
    if len(items) % 2:
        raise PickleError("its pickle is damaged (a key without a value)")
    for i in range(0, len(items), 2):
        target[_key(items[i])] = items[i + 1]


def _bytes(m: Machine, length: int) -> bytes | memoryview:
    piece = m.take(length)
    return piece if length >= VIEW_FROM else bytes(piece)


def _push(read: Callable[[Machine], Any]) -> Callable[[Machine], None]:
    return lambda m: m.stack.append(read(m))


def _text_number(m: Machine) -> Any:
    text = m.line()
    return {"00": False, "01": True}.get(text) if text in ("00", "01") else int(text)


def _text_long(m: Machine) -> int:
    return int(m.line().removesuffix("L"))


def _long(m: Machine, length: int) -> int:
    if not 0 <= length <= MAX_DIGITS:
        raise PickleError(f"its pickle has a number of {length} bytes")
    return int.from_bytes(m.take(length), "little", signed=True)


def _quoted(m: Machine) -> str:
    text = m.line()
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"" or "\\" in text:
        raise PickleError(f"its pickle is damaged near byte {m.at} (a string without quotes)")
    return text[1:-1]


def _utf8(m: Machine, length: int) -> str:
    return str(m.take(length), "utf-8", "surrogatepass")


def _latin(m: Machine, length: int) -> str:
    return str(m.take(length), "latin-1")


def _wrap(count: int) -> Callable[[Machine], None]:
    def step(m: Machine) -> None:
        values = [m.pop() for _ in range(count)]
        m.stack.append(tuple(reversed(values)))

    return step


def _get(form: str | None) -> Callable[[Machine], None]:
    return lambda m: m.stack.append(m.memo[int(m.line()) if form is None else m.number(form)])


def _put(form: str | None) -> Callable[[Machine], None]:
    def step(m: Machine) -> None:
        at = int(m.line()) if form is None else m.number(form)
        value = m.pop()
        m.stack.append(value)
        m.memo[at] = value

    return step


def _memoize(m: Machine) -> None:
    value = m.pop()
    m.stack.append(value)
    m.memo[len(m.memo)] = value


def _append(m: Machine) -> None:
    value = m.pop()
    m.top(list).append(value)


def _appends(m: Machine) -> None:
    values = m.pop_mark()
    m.top(list).extend(values)


def _set_item(m: Machine) -> None:
    value, key = m.pop(), m.pop()
    _fill(m.top(dict), [key, value])


def _set_items(m: Machine) -> None:
    items = m.pop_mark()
    _fill(m.top(dict), items)


def _add_items(m: Machine) -> None:
    values = m.pop_mark()
    m.top(set).update(map(_key, values))


def _dict(m: Machine) -> None:
    result: dict[Any, Any] = {}
    _fill(result, m.pop_mark())
    m.stack.append(result)


def _stack_global(m: Machine) -> Global:
    name, module = m.pop(), m.pop()
    if type(name) is not str or type(module) is not str:
        raise PickleError(f"its pickle is damaged near byte {m.at} (a global without a name)")
    return Global(module, name)


def _reduce(m: Machine) -> None:
    arguments, function = m.pop(), m.pop()
    if type(arguments) is not tuple:
        raise PickleError(f"its pickle is damaged near byte {m.at} (a call without arguments)")
    m.stack.append(m.call(function, arguments))


def _new_object_with_names(m: Machine) -> None:
    named, arguments, cls = m.pop(), m.pop(), m.pop()
    if named:
        raise PickleError(f"its pickle calls {cls} with named arguments, which no checkpoint needs")
    m.stack.append(m.call(cls, arguments))


def _instance(m: Machine) -> None:
    cls = Global(m.line(), m.line())
    m.stack.append(m.call(cls, tuple(m.pop_mark())))


def _object(m: Machine) -> None:
    cls, *arguments = m.pop_mark()
    m.stack.append(m.call(cls, tuple(arguments)))


def _build(m: Machine) -> None:
    state, target = m.pop(), m.pop()
    m.stack.append(m.build(target, state))


def _discard(m: Machine) -> None:
    m.stack.pop()


def _discard_to_mark(m: Machine) -> None:
    m.pop_mark()


def _refuse(what: str) -> Callable[[Machine], None]:
    def step(m: Machine) -> None:
        raise PickleError(f"its pickle uses {what}, which no checkpoint needs")

    return step


STEPS: dict[int, Callable[[Machine], None]] = {
    ord("("): lambda m: m.stack.append(MARK),
    ord("0"): _discard,
    ord("1"): _discard_to_mark,
    ord("2"): lambda m: m.stack.append(m.stack[-1]),
    ord("N"): lambda m: m.stack.append(None),
    0x88: lambda m: m.stack.append(True),
    0x89: lambda m: m.stack.append(False),
    ord("I"): _push(_text_number),
    ord("L"): _push(_text_long),
    ord("F"): _push(lambda m: float(m.line())),
    ord("J"): _push(lambda m: m.number("<i")),
    ord("K"): _push(lambda m: m.number("<B")),
    ord("M"): _push(lambda m: m.number("<H")),
    ord("G"): _push(lambda m: m.number(">d")),
    0x8A: _push(lambda m: _long(m, m.number("<B"))),
    0x8B: _push(lambda m: _long(m, m.number("<i"))),
    ord("S"): _push(_quoted),
    ord("T"): _push(lambda m: _latin(m, m.number("<i"))),
    ord("U"): _push(lambda m: _latin(m, m.number("<B"))),
    ord("V"): _push(lambda m: m.line()),
    ord("X"): _push(lambda m: _utf8(m, m.number("<I"))),
    0x8C: _push(lambda m: _utf8(m, m.number("<B"))),
    0x8D: _push(lambda m: _utf8(m, m.number("<Q"))),
    ord("B"): _push(lambda m: _bytes(m, m.number("<I"))),
    ord("C"): _push(lambda m: _bytes(m, m.number("<B"))),
    0x8E: _push(lambda m: _bytes(m, m.number("<Q"))),
    0x96: _push(lambda m: _bytes(m, m.number("<Q"))),
    ord("]"): lambda m: m.stack.append([]),
    ord("l"): lambda m: m.stack.append(m.pop_mark()),
    ord("a"): _append,
    ord("e"): _appends,
    ord(")"): lambda m: m.stack.append(()),
    ord("t"): lambda m: m.stack.append(tuple(m.pop_mark())),
    0x85: _wrap(1),
    0x86: _wrap(2),
    0x87: _wrap(3),
    ord("}"): lambda m: m.stack.append({}),
    ord("d"): _dict,
    ord("s"): _set_item,
    ord("u"): _set_items,
    0x8F: lambda m: m.stack.append(set()),
    0x90: _add_items,
    0x91: lambda m: m.stack.append(frozenset(map(_key, m.pop_mark()))),
    ord("g"): _get(None),
    ord("h"): _get("<B"),
    ord("j"): _get("<I"),
    ord("p"): _put(None),
    ord("q"): _put("<B"),
    ord("r"): _put("<I"),
    0x94: _memoize,
    ord("c"): _push(lambda m: Global(m.line(), m.line())),
    0x93: _push(_stack_global),
    ord("R"): _reduce,
    0x81: _reduce,  # an object made by its class is a call of the class
    0x92: _new_object_with_names,
    ord("i"): _instance,
    ord("o"): _object,
    ord("b"): _build,
    ord("P"): _push(lambda m: m.load(m.line())),
    ord("Q"): _push(lambda m: m.load(m.pop())),
    0x80: lambda m: _check_protocol(m.number("<B")),
    0x95: lambda m: m.number("<Q") and None,  # a frame: its bytes are read as they come
    0x82: _refuse("an extension registry"),
    0x83: _refuse("an extension registry"),
    0x84: _refuse("an extension registry"),
    0x97: _refuse("out-of-band buffers"),
    0x98: _refuse("out-of-band buffers"),
}


def _check_protocol(protocol: int) -> None:
    if protocol > 5:
        raise PickleError(f"its pickle is of protocol {protocol}; known: 0 to 5")
