"""The pickled structure of a torch file: what it would build, and what that would cost, told without building it."""

import pickletools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice

from emoji_lightning.errors import CheckpointError

COPIES = {
    "collections.OrderedDict",
    "collections.Counter",
    "torch.Size",
    "_codecs.encode",
    "builtins.bytearray",
    "builtins.set",
}
"""What makes a new object as large as what it is given: five bytes of a pickle ask for one more copy."""
TENSORS = {"torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3", "torch._utils._rebuild_parameter"}
CHEAP = {"torch.device", "torch.serialization._get_layout", "builtins.complex"}
DTYPES = {
    "torch.float64", "torch.float32", "torch.float16", "torch.bfloat16", "torch.bool", "torch.uint8", "torch.int8",
    "torch.int16", "torch.int32", "torch.int64", "torch.uint16", "torch.uint32", "torch.uint64", "torch.complex64",
    "torch.complex128", "torch.strided",
}  # fmt: skip
STORAGES = {
    "torch.DoubleStorage": 8, "torch.FloatStorage": 4, "torch.HalfStorage": 2, "torch.BFloat16Storage": 2,
    "torch.BoolStorage": 1, "torch.ByteStorage": 1, "torch.CharStorage": 1, "torch.ShortStorage": 2,
    "torch.IntStorage": 4, "torch.LongStorage": 8, "torch.ComplexFloatStorage": 8, "torch.ComplexDoubleStorage": 16,
    "torch.storage.UntypedStorage": 1,
}  # fmt: skip
"""Bytes of a number in it."""
ALLOWED = COPIES | TENSORS | CHEAP | DTYPES | STORAGES.keys()
"""A part of what torch.load(weights_only=True) allows, without sparse, quantised and nested tensors."""

MAX_INSTRUCTIONS = 1 << 18
"""AdamW's state of 5 layers takes a thousand; every one can ask for an object."""
MAX_COPIED = 1 << 20
MAX_DEPTH = 100
MAX_SPREAD = 1 << 20
"""Of nested tuples, each shared one counted where it stands: hashing or printing goes through all of them."""
MAX_LONG_INTS = 1000
"""Numbers beyond 64 bits can be made to share a hash; a dict with many such keys takes hours to build."""

PLAIN = {
    "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING",
    "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET", "EMPTY_TUPLE",
}  # fmt: skip
OTHER_PLAIN = {
    "LONG4", "INT", "LONG", "FLOAT", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING", "BINBYTES",
    "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
"""Instructions of other protocols that push a value: followed to tell what a pickle wants, and refused."""


@dataclass(eq=False, slots=True)
class _Value:
    """What would stand on the stack: `size` is its number of entries or characters, or the whole number that it is."""

    size: int = 1
    text: str = ""
    named: str = ""
    made_by: str = ""
    items: Sequence["_Value"] = ()
    depth: int = 0
    spread: int = 1


class _Bill:
    """Follows the instructions of a pickle over a stack of descriptions."""

    def __init__(self) -> None:
        self.stack: list[_Value] = []
        self.below: list[list[_Value]] = []
        self.memo: dict[int, _Value] = {}
        self.wanted: set[str] = set()
        self.copied = self.long_ints = self.protocol = 0
        self.unknown = ""
        self.storages: dict[str, int] = {}
        self.done: dict[str, Callable[[], None]] = {
            "MARK": self._mark,
            "TUPLE": lambda: self._tuple(self._since_mark()),
            "TUPLE1": lambda: self._tuple(self._pop(1)),
            "TUPLE2": lambda: self._tuple(self._pop(2)),
            "TUPLE3": lambda: self._tuple(self._pop(3)),
            "APPEND": lambda: self._extend(self._pop(1)),
            "APPENDS": lambda: self._extend(self._since_mark()),
            "SETITEM": lambda: self._extend(self._pop(2)),
            "SETITEMS": lambda: self._extend(self._since_mark()),
            "ADDITEMS": lambda: self._extend(self._since_mark()),
            "BINPERSID": self._refer,
            "REDUCE": self._reduce,
            "NEWOBJ": self._new,
            "BUILD": self._build,
            "STACK_GLOBAL": self._stack_global,
        }

    def follow(self, name: str, arg: object) -> None:
        """Do one instruction.

        Raises:
            CheckpointError: It is none that torch.save writes, or costs too much.
            IndexError, KeyError, ValueError: It takes what is not there.
        """
        if name in OTHER_PLAIN | {"MEMOIZE", "STACK_GLOBAL", "FRAME", "ADDITEMS"}:
            self.unknown = self.unknown or name
        if name in PLAIN or name in OTHER_PLAIN:
            self._push_plain(arg)
        elif name == "GLOBAL":
            self._name(str(arg).replace(" ", "."))
        elif name in self.done:
            self.done[name]()
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[arg if isinstance(arg, int) else len(self.memo)] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[arg])  # type: ignore[index]
        elif name == "PROTO":
            self.protocol = int(str(arg))
        elif name not in ("STOP", "FRAME"):
            if name == "INST":
                self._name(str(arg).replace(" ", "."))
            raise CheckpointError(f"its structure has the pickle instruction {name}, which torch.load does not read")

    def _push_plain(self, arg: object) -> None:
        if type(arg) is int:
            self.long_ints += arg.bit_length() > 64
            if self.long_ints > MAX_LONG_INTS:
                raise CheckpointError(f"holds more than {MAX_LONG_INTS:,} whole numbers beyond 64 bits")
            self.stack.append(_Value(abs(arg)))
        elif isinstance(arg, str | bytes | bytearray):
            self.stack.append(_Value(len(arg), arg[:200] if isinstance(arg, str) else ""))
        else:
            self.stack.append(_Value(0))

    def _name(self, name: str) -> None:
        name = name.replace("__builtin__.", "builtins.", 1)
        if name not in ALLOWED:
            self.wanted.add(name)
        self.stack.append(_Value(named=name))

    def _stack_global(self) -> None:
        module, name = self._pop(2)
        self._name(f"{module.text}.{name.text}")

    def _mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def _since_mark(self) -> list[_Value]:
        found, self.stack = self.stack, self.below.pop()
        return found

    def _pop(self, number: int) -> list[_Value]:
        return [self.stack.pop() for _ in range(number)][::-1]

    def _refer(self) -> None:
        """Note a storage: ("storage", its class, the name of its bytes, device, number of entries)."""
        (reference,) = self._pop(1)
        _, kind, key, _, number = reference.items  # ValueError: it refers to something else
        self.storages[key.text] = max(self.storages.get(key.text, 0), number.size * STORAGES[kind.named])
        self.stack.append(_Value())

    def _tuple(self, items: list[_Value]) -> None:
        spread = 1 + sum(item.spread for item in items)
        depth = 1 + max((item.depth for item in items), default=0)
        _check_depth(depth)
        if spread > MAX_SPREAD:
            raise CheckpointError(f"holds tuples in tuples with more than {MAX_SPREAD:,} entries")
        self.stack.append(_Value(len(items), items=items, depth=depth, spread=spread))

    def _extend(self, items: list[_Value]) -> None:
        top = self.stack[-1]
        top.size += len(items)
        top.depth = max(top.depth, 1 + max((item.depth for item in items), default=0))
        _check_depth(top.depth)

    def _reduce(self) -> None:
        function, given = self._pop(2)
        copied = sum(item.size for item in given.items) if function.named in COPIES else 0
        self.copied += copied
        if self.copied > MAX_COPIED:
            raise CheckpointError(f"asks for copies of more than {MAX_COPIED:,} entries or bytes beside its tensors")
        if function.named not in COPIES | TENSORS | CHEAP:
            self._want(function.named)
        self.stack.append(_Value(copied, made_by=function.named))

    def _new(self) -> None:
        cls, _ = self._pop(2)
        self._want(cls.named)
        self.stack.append(_Value(made_by=cls.named))

    def _build(self) -> None:
        self._pop(1)
        if self.stack[-1].made_by != "collections.OrderedDict":
            self._want(self.stack[-1].made_by)

    def _want(self, name: str) -> None:
        if not name:
            raise CheckpointError("its structure is damaged: it calls what is no class and no function")
        self.wanted.add(name)


class _OldBill(_Bill):
    """Follows pickles of torch.save before PyTorch 1.6, too; these refer to storages and to sources of modules."""

    def _refer(self) -> None:
        (reference,) = self._pop(1)
        is_module = len(reference.items) > 1 and reference.items[0].text == "module"
        self.stack.append(_Value(named=reference.items[1].named) if is_module else _Value())


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise CheckpointError(f"is nested more than {MAX_DEPTH} deep")


class UnknownObjectsError(CheckpointError):
    """A pickle names what is no plain data.

    Attributes:
        wanted: The names, sorted.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        super().__init__(f"wants to build {', '.join(wanted)}")
        self.wanted = wanted


def check_pickle(data: bytes) -> dict[str, int]:
    """Follow the instructions of a pickle without doing what they say.

    Args:
        data: The pickle; at most a few megabytes.

    Returns:
        Name of a storage of the archive -> how many bytes the pickle takes it for.

    Raises:
        UnknownObjectsError: It names objects other than tensors and plain data.
        CheckpointError: It is damaged, of a protocol that torch.load does not read, or building it would take far
            more memory or time than a head needs.
    """
    bill = _Bill()
    try:
        for number, (opcode, arg, _) in enumerate(pickletools.genops(data)):
            bill.follow(opcode.name, arg)
            if number >= MAX_INSTRUCTIONS:
                raise CheckpointError(f"has more than {MAX_INSTRUCTIONS:,} entries beside its tensors")
    except CheckpointError:
        if not bill.wanted:
            raise
    except Exception as error:  # what damaged bytes lead to can be any
        if not bill.wanted:
            raise CheckpointError(f"its structure is damaged ({type(error).__name__}: {error})") from None
    if bill.wanted:
        raise UnknownObjectsError(sorted(bill.wanted))
    if bill.protocol in (2, 3) and bill.unknown:
        raise CheckpointError(
            f"its structure has the pickle instruction {bill.unknown}, which torch.load does not read"
        )
    if bill.protocol not in (2, 3):
        raise CheckpointError(f"its structure is of pickle protocol {bill.protocol}; expected 2, torch.save's own")
    return bill.storages


def name_objects(data: bytes, *, num_pickles: int) -> tuple[list[str], bool]:
    """Tell what pickles that stand one behind the other want to build, without building it.

    Args:
        data: The start of a file; at most a few megabytes.
        num_pickles: How many of them.

    Returns:
        The names of objects other than tensors and plain data, sorted, and whether all of them were seen: none is
        behind damaged bytes, or behind an instruction that is not followed.
    """
    stream, wanted = BytesIO(data), set()
    for _ in range(num_pickles):
        bill, ended = _OldBill(), False
        try:
            for opcode, arg, _ in islice(pickletools.genops(stream), MAX_INSTRUCTIONS):
                bill.follow(opcode.name, arg)
                ended = opcode.name == "STOP"
        except Exception:  # what damaged bytes lead to can be any
            ended = False
        wanted |= bill.wanted - {"torch._utils._rebuild_tensor"}  # of PyTorch 0.3; torch.load takes it, too
        if not ended:
            return sorted(wanted), False
    return sorted(wanted), True
