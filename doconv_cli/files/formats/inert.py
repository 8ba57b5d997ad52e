"""Pickles as data: nothing in them is imported, called or given a state.

Reading gives a tree of Python's own containers and values, with three kinds of nodes for what a
pickle would do: :class:`Global` names something to import, :class:`Object` is what a call gives,
:class:`Persistent` stands for what lies elsewhere, a storage of PyTorch. Writing gives the same
pickle again, changed where the tree was. So a checkpoint can be edited with neither its classes
nor its framework installed, and its code cannot run.

Source: the pickle protocol, Python's ``pickletools``. Its implementation in Python itself,
``pickle._Unpickler`` and ``_Pickler``, is what ``torch.package`` derives from too.
"""

from __future__ import annotations

import io
import pickle
from typing import Any, BinaryIO, ClassVar

MAX_LINE = 10_000
"""Bytes of a name; one that is longer is no name."""


class DamagedError(ValueError):
    """A pickle that cannot be read; the text says why."""


class Global:
    """What a pickle would import.

    Attributes:
        module: as the pickle writes it.
        name: the same.
    """

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self, *args: Any) -> Object:
        return Object(self, args)

    def __str__(self) -> str:
        # Python 2's names, which protocol 2 still writes, and those of NumPy before 2.
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(self.module, self.module)
        if module.startswith("numpy._core"):
            module = module.replace("numpy._core", "numpy.core", 1)
        return f"{module}.{self.name}"


class Object:
    """What a pickle would make by a call, then fill.

    Attributes:
        function: what would be called.
        args: its arguments.
        by_new: by ``function.__new__`` instead.
        kwargs: for that, or None.
        items: what would be appended.
        pairs: what would be set by key.
        state: what it would be given as its state; a tuple of one, or ().
    """

    __slots__ = ("args", "by_new", "function", "items", "kwargs", "pairs", "state")

    def __init__(
        self, function: Any, args: tuple[Any, ...], kwargs: Any = None, *, by_new: bool = False
    ) -> None:
        self.function, self.args, self.kwargs, self.by_new = function, args, kwargs, by_new
        self.items: list[Any] = []
        self.pairs: dict[Any, Any] = {}
        self.state: tuple[Any, ...] = ()
        # How Python 2 wrote an OrderedDict.
        theirs = isinstance(function, Global) and str(function) == "collections.OrderedDict"
        if theirs and len(args) == 1:
            if not isinstance(args[0], list) or not all(map(_is_pair, args[0])):
                raise DamagedError("an OrderedDict of no pairs")
            self.args, self.pairs = (), dict(args[0])

    # What the reader calls where a pickle says so.

    def append(self, item: Any) -> None:
        self.items.append(item)

    def extend(self, items: list[Any]) -> None:
        self.items.extend(items)

    def add(self, item: Any) -> None:
        self.items.append(item)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.pairs[key] = value

    def __setstate__(self, state: Any) -> None:
        self.state = (state,)


class Persistent:
    """What lies elsewhere; ``pid`` says where."""

    __slots__ = ("pid",)

    def __init__(self, pid: Any) -> None:
        self.pid = pid


def _is_pair(item: Any) -> bool:
    return isinstance(item, (list, tuple)) and len(item) == 2


class _Limited(io.RawIOBase):
    """A file that never reads, hence never allocates, more than is there."""

    def __init__(self, file: BinaryIO, end: int) -> None:
        self._file, self._end = file, end

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._end - self._file.tell():
            raise EOFError
        return self._file.read(size)

    def readinto(self, buffer: Any) -> int:
        buffer[:] = self.read(len(buffer))
        return len(buffer)

    def readline(self, size: int | None = -1) -> bytes:
        return self._file.readline(MAX_LINE)


# Their readable implementations; typeshed does not know them.
_PythonUnpickler: Any = pickle._Unpickler
_PythonPickler: Any = pickle._Pickler


class _Reader(_PythonUnpickler):
    dispatch: ClassVar[dict[int, Any]] = dict(_PythonUnpickler.dispatch)

    def find_class(self, module: str, name: str) -> Global:
        return Global(module, name)

    def persistent_load(self, pid: Any) -> Persistent:
        return Persistent(pid)

    def get_extension(self, code: int) -> Any:
        raise DamagedError("it uses this machine's registry of classes")

    def _new(self) -> None:
        args, cls = self.stack.pop(), self.stack.pop()
        self.append(_made(cls, args, None))

    def _new_with_names(self) -> None:
        kwargs, args, cls = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.append(_made(cls, args, kwargs))

    def _reduce(self) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, (Global, Object)) or not isinstance(args, tuple):
            raise DamagedError("it calls what is no function")
        self.append(Object(function, args))

    def _build(self) -> None:
        state = self.stack.pop()
        if not self.stack or not isinstance(self.stack[-1], Object):
            raise DamagedError("it gives a state to what has none")
        self.stack[-1].__setstate__(state)

    def _bytes_to_change(self) -> None:
        # The original allocates what the file claims before it reads.
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    dispatch[pickle.NEWOBJ[0]] = _new
    dispatch[pickle.NEWOBJ_EX[0]] = _new_with_names
    dispatch[pickle.REDUCE[0]] = _reduce
    dispatch[pickle.BUILD[0]] = _build
    dispatch[pickle.BYTEARRAY8[0]] = _bytes_to_change


def _made(cls: Any, args: Any, kwargs: Any) -> Object:
    if not isinstance(cls, (Global, Object)) or not isinstance(args, tuple):
        raise DamagedError("it makes an object of no class")
    return Object(cls, args, kwargs, by_new=True)


def read(file: BinaryIO, end: int) -> Any:
    """Read one pickle from an open file, which is then behind it.

    Args:
        file: the file.
        end: where the pickle must have ended.

    Raises:
        DamagedError: it is cut off, or not a pickle.
    """
    try:
        return _Reader(_Limited(file, end), encoding="utf-8").load()
    except DamagedError:
        raise
    except (OSError, MemoryError):
        raise
    except Exception as fault:  # whatever a machine on random instructions leads to
        raise DamagedError("it is damaged") from fault


class _Writer(_PythonPickler):
    dispatch: ClassVar[dict[type, Any]] = dict(_PythonPickler.dispatch)

    def persistent_id(self, node: Any) -> Any:
        return node.pid if isinstance(node, Persistent) else None

    def _global(self, node: Global) -> None:
        # One by name, however many nodes there are.
        key = (node.module, node.name)
        if key in self._globals:
            self.write(self.get(self.memo[id(self._globals[key])][0]))
            return
        self._globals[key] = node
        self.write(pickle.GLOBAL + f"{node.module}\n{node.name}\n".encode())
        self.memoize(node)

    def _object(self, node: Object) -> None:
        self.save(node.function)
        if node.kwargs:
            raise DamagedError("an object made with named arguments")
        self.save(node.args)
        self.write(pickle.NEWOBJ if node.by_new else pickle.REDUCE)
        # Arguments that contain the object itself were written with it.
        if id(node) in self.memo:
            self.write(pickle.POP + self.get(self.memo[id(node)][0]))
        else:
            self.memoize(node)
        if node.items:
            self._batch_appends(node.items)
        if node.pairs:
            self._batch_setitems(node.pairs.items())
        if node.state:
            self.save(node.state[0])
            self.write(pickle.BUILD)

    def __init__(self, file: Any) -> None:
        super().__init__(file, protocol=2)  # PyTorch's own
        self._globals: dict[tuple[str, str], Global] = {}

    dispatch[Global] = _global
    dispatch[Object] = _object


def write(tree: Any) -> bytes:
    """The pickle of a tree that :func:`read` gave.

    Raises:
        DamagedError: it is nested too deeply, or has what protocol 2 cannot express.
    """
    buffer = io.BytesIO()
    try:
        _Writer(buffer).dump(tree)
    except RecursionError as fault:
        raise DamagedError("it is nested too deeply") from fault
    except (UnicodeError, AttributeError) as fault:
        raise DamagedError("it is damaged") from fault
    return buffer.getvalue()
