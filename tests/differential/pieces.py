# ruff: noqa: E501  tables of one line an entry
"""Pieces of the programs: bodies of tasks, their inputs, their wrappers, and their exceptions."""

from typing import NamedTuple

__all__ = ["CLASSES", "ERRORS", "INPUTS", "PIECES", "RETURNS", "WRAPPERS", "Piece"]


class Piece(NamedTuple):
    """Lines of a program.

    Parameters
    ----------
    name
        Names it in `generator.NOT_YET`.
    body
        Lines of the task, which has ``i``, ``x`` and the list ``out``; of an input, the expression for ``x``.
    setup
        Lines of the script before the task.
    after
        Lines of the script between two maps: the state changes.
    names
        Globals that the task rebinds.
    plain
        Whether calls leave nothing behind for each other, and return nothing that a pickle would change (what is
        the script's own, an array's strides), so that plain Python in one process gives the same.
    """

    name: str
    body: str
    setup: str = ""
    after: str = ""
    names: tuple[str, ...] = ()
    plain: bool = True


CLASSES = {
    "Point": "class Point:\n    def __init__(self, n, held=None):\n        self.n, self.held = n, held\n",
    "Record": "@dataclasses.dataclass\nclass Record:\n    n: int\n    held: list = dataclasses.field(default_factory=list)\n",
    "Frozen": "@dataclasses.dataclass(frozen=True)\nclass Frozen:\n    n: int\n",
    "State": "class State(enum.Enum):\n    OK = 1\n    FAILED = 2\n",
    "Pair": "class Pair(typing.NamedTuple):\n    n: int\n    held: object\n",
    "Slotted": "class Slotted:\n    __slots__ = ('n',)\n    def __init__(self, n):\n        self.n = n\n",
    "Named": "class Named(list):\n    def __init__(self, n=()):\n        super().__init__(n)\n        self.label = 'named'\n",
    "Tally": "class Tally:\n    total = 0\n    seen = []\n",
    "Problem": "class Problem(Exception):\n    pass\n",
    "Strange": (
        "class Strange(Exception):\n    def __init__(self, code, place):\n"
        "        super().__init__(f'{code} at {place}')\n        self.code, self.place = code, place\n"
    ),
    "Hidden": (
        "class Hidden:\n    def __init__(self):\n        self.n = 0\n"
        "    def __getstate__(self):\n        return {'n': self.n}\n"
        "    def step(self):\n        self.n += 1\n        return self.n\n"
    ),
    "touch": (
        "def touch(x):\n"
        "    if isinstance(x, list):\n        x.append('t')\n"
        "    elif isinstance(x, dict):\n        x['t'] = len(x)\n"
        "    elif isinstance(x, set):\n        x.add('t')\n"
        "    elif isinstance(x, bytearray):\n        x.append(7)\n"
        "    elif isinstance(x, np.ndarray):\n        x += 1\n"
        "    elif isinstance(x, tuple):\n        for part in x:\n            touch(part)\n"
        "    elif hasattr(x, 'held'):\n        touch(x.held)\n"
    ),
}
"""Definitions that a program contains when it uses their names."""

PIECES = (
    Piece("number", "out.append(i)"),
    Piece("argument", "out.append(x)"),
    Piece("argument twice", "out.append([x, x])"),
    Piece("touch", "touch(x)\nout.append(repr(x)[:60] if isinstance(x, (list, dict)) else 0)", plain=False),
    Piece("read global", "out.append(list(G1))", "G1 = [1, 2]", "G1.append(3)"),
    Piece("read rebound global", "out.append(G2)", "G2 = 'first'", "G2 = 'second'"),
    Piece("rebind global", "N3 += 1\nout.append(N3)", "N3 = 0", "N3 = 10", ("N3",), plain=False),
    Piece("warn once", "if i % 5 == 3 and not W4:\n    W4 = True\nout.append(W4)", "W4 = False", names=("W4",), plain=False),
    Piece("mutate global", "G5.append(i)\nout.append(len(G5))", "G5 = []", "G5.append('between')", plain=False),
    Piece("return global", "out.append(G6)", "G6 = {'a': [1]}", "G6['b'] = 2", plain=False),
    Piece("rare mutation", "if i % 7 == 4:\n    G7['n'] = i\nout.append(dict(G7))", "G7 = {}", plain=False),
    Piece(
        "hidden global",
        "out.append(note8(i))",
        "G8 = []\ndef note8(i):\n    G8.append(i)\n    return len(G8)",
        "G8 = [0]",
        plain=False,
    ),
    Piece("class attribute", "Tally.total += 1\nout.append(Tally.total)", "", "Tally.total = 5", plain=False),
    Piece("class list", "Tally.seen.append(i)\nout.append(len(Tally.seen))", "", "Tally.seen.append(0)", plain=False),
    Piece("object of a changed class", "Tally.total += 1\nout.append(Tally())", "", "Tally.total = 5", plain=False),
    Piece("object", "out.append(B9.step(i))\nout.append(B9.held)", "B9 = diffmod.Box()", "B9.step(0)", plain=False),
    Piece("hidden state", "out.append(H10.step())", "H10 = Hidden()", plain=False),
    Piece("function attribute", "note11.n += 1\nout.append(note11.n)", "def note11():\n    pass\nnote11.n = 0", "note11.n = 7", plain=False),
    Piece("mutable default", "out.append(list(note12(i)))", "def note12(i, kept=[]):\n    kept.append(i)\n    return kept", plain=False),
    Piece("returned default", "out.append(note13(i))", "def note13(i, kept=[]):\n    kept.append(i)\n    return kept", plain=False),
    Piece("local function", "def note14(a, n=[i]):\n    return [a, *n]\nout.append(note14(x))"),
    Piece("array global", "A15[:2] += 1\nout.append(A15)", "A15 = np.zeros(4)", "A15[0] = 5", plain=False),
    Piece("array buffer", "A16[:] = i\nout.append(A16[1:])", "A16 = np.empty(3)\nA16[:] = 0", plain=False),
    Piece("large array global", "A17[0] += 1\nout.append(float(A17[0]))", "A17 = np.zeros(10_000)", plain=False),
    Piece("view of a global", "A18 += 1\nout.append(A18)", "BASE18 = np.arange(6)\nA18 = BASE18[::2]", names=("A18",), plain=False),
    Piece("array facts", "out.append(x.flags.writeable if isinstance(x, np.ndarray) else type(x).__name__)"),
    Piece("module buffer", "out.append(diffmod.fill(i))", plain=False),
    Piece("module list", "out.append(diffmod.keep(i))", plain=False),
    Piece("object with a name", "out.append(scaled19(i))", "diffmod.identity.scale = 1\nscaled19 = diffmod.identity", "diffmod.identity.scale += 1"),
    Piece("plain object", "out.append(Point(i, [i]))"),
    Piece("record", "out.append(Record(i))"),
    Piece("frozen record", "out.append(Frozen(i))"),
    Piece("enum", "out.append(State.FAILED if i % 2 else State.OK)"),
    Piece("named tuple", "out.append(Pair(i, out[:1]))"),
    Piece("slots", "out.append(Slotted(i))"),
    Piece("list of a class", "out.append(Named([i]))"),
    Piece("class itself", "out.append(Point)"),
    Piece("type tests", "out.append((isinstance(x, Point), type(x) is Record, x is State.OK))"),
    Piece("sentinel", "out.append(x is MARK20)", "MARK20 = Point(-1)"),
    Piece("sentinel default", "out.append(note21(i))", "MARK21 = object()\ndef note21(i, d=MARK21):\n    return d is MARK21"),
    Piece("same in two", "out.append([part is x for part in L22])", "L22 = [Point(0), Point(1), [1]]"),
    Piece("index of argument", "out.append(L23.index(x) if any(x is p for p in L23) else -1)", "L23 = [Point(3), Point(4)]"),
    Piece("random of its own", "out.append(random.Random(i).random())"),
    Piece("numpy of its own", "out.append(float(np.random.default_rng(i).normal()))"),
    Piece("seeded random", "random.seed(i)\nout.append(random.random())"),
    Piece("seeded numpy", "np.random.seed(i)\nout.append(np.random.rand())"),
    Piece("random global", "out.append(R24.random())", "R24 = random.Random(3)", "R24.random()", plain=False),
    Piece("numpy global", "out.append(float(R25.normal()))", "R25 = np.random.default_rng(4)", "R25.normal()", plain=False),
    Piece("print", "print(f'{RUN} {i} o said')"),
    Piece("print and flush", "print(f'{RUN} {i} p said', flush=True)"),
    Piece("print to stderr", "print(f'{RUN} {i} e said', file=sys.stderr)"),
    Piece("print several", "print(f'{RUN} {i} s one\\n{RUN} {i} s two', end='\\n\\n')\nsys.stdout.write(f'{RUN} {i} s three\\n')"),
    Piece("print by descriptor", "os.write(1, f'{RUN} {i} d said\\n'.encode())"),
    Piece("environment", "out.append(os.environ.get('DIFF_VALUE'))", "os.environ['DIFF_VALUE'] = 'first'", "os.environ['DIFF_VALUE'] = 'second'"),
    Piece("environment removed", "out.append(os.environ.get('DIFF_GONE'))", "os.environ['DIFF_GONE'] = 'here'", "os.environ.pop('DIFF_GONE', None)"),
    Piece("folder", "out.append(os.path.basename(os.getcwd()))", "os.makedirs('one', exist_ok=True)\nos.chdir('one')", "os.makedirs('two', exist_ok=True)\nos.chdir('two')"),
    Piece("relative file", "with open(f'made-{i}', 'w') as made:\n    made.write(str(i))"),
    Piece("umask", "out.append(oct((lambda old: (os.umask(old), old)[1])(os.umask(0o22))))", "os.umask(0o27)", "os.umask(0o22)"),
    Piece("thread", "kept27 = []\nworker27 = threading.Thread(target=kept27.append, args=(i,))\nworker27.start()\nworker27.join()\nout.append(kept27)"),
    Piece("decimal", "out.append(str(decimal.Decimal(1) / 3))"),
    Piece("sets", "out.append({i, 'a', (1, 2)})\nout.append(frozenset({'b', i}))"),
    Piece("cycle", "ring28 = [i]\nring28.append(ring28)\nout.append(ring28)"),
    Piece("shared in result", "part29 = {i: x}\nout += [part29, (part29,), [part29]]"),
    Piece("numpy scalars", "out += [np.float64(i), np.int8(i % 100), np.bool_(i % 2)]"),
    Piece("fortran array", "out.append(np.asfortranarray(np.arange(6).reshape(2, 3) + i))"),
    Piece("strange array", "out.append(np.array([('a', i)], dtype=[('k', 'U3'), ('n', 'i4')]))\nout.append(np.arange(6)[::-2])", plain=False),
    Piece("objects in an array", "out.append(np.array([Point(i), None], dtype=object))"),
    Piece("returned function", "out.append(functools.partial(note30, i))", "def note30(a, b=1):\n    return a + b"),
    Piece("returned error", "out.append(Problem('kept', i))"),
    Piece("returned strange error", "out.append(Strange(i, 'kept'))"),
    Piece("cached", "out.append(Point.__dict__.get('cache', 0))"),
    Piece("function to itself", "out.append(fact31(i % 5))", "def fact31(n):\n    return 1 if n < 2 else n * fact31(n - 1)"),
    Piece("chain of closures", "out.append(add32(i))", "def make32(k):\n    kept = [k]\n    def add(n):\n        kept.append(n)\n        return sum(kept)\n    return add\nadd32 = make32(2)", "add32 = make32(3)", plain=False),
)  # fmt: skip

INPUTS = (
    Piece("int", "i"),
    Piece("none", "None"),
    Piece("text", "f'text {i}'"),
    Piece("list", "[i, i + 1]"),
    Piece("tuple", "(i, [i])"),
    Piece("dict", "{'i': i, 'held': [i]}"),
    Piece("set", "{i, 'a'}"),
    Piece("bytearray", "bytearray(b'ab')"),
    Piece("equal lists", "[0, 0]"),
    Piece("shared list", "S1", "S1 = [0]", "S1.append(9)"),
    Piece("shared in new", "{'held': S2, 'i': i}", "S2 = []", "S2.append(9)"),
    Piece("shared in tuple", "(S3, i)", "S3 = []"),
    Piece("rows of one list", "[[0] * 2] * 2"),
    Piece("two of one", "(S4[i % 2], S4[0])", "S4 = [[1], [2]]"),
    Piece("object", "Point(i, [i])"),
    Piece("shared object", "P5", "P5 = Point(0, [])", "P5.n = 4"),
    Piece("some of a few objects", "L6[i % 3]", "L6 = [Point(0), Point(1), Point(2, [])]"),
    Piece("part of a global of the task", "(L22 if 'L22' in globals() else [0])[i % 1]"),
    Piece("global of the task", "globals().get('MARK20')"),
    Piece("record", "Record(i)"),
    Piece("enum", "State.OK"),
    Piece("named tuple", "Pair(i, [i])"),
    Piece("list of a class", "Named([i])"),
    Piece("class", "Point"),
    Piece("function", "lambda n, i=i: n + i"),
    Piece("partial", "functools.partial(max, i)"),
    Piece("array", "np.arange(i, i + 3.0)"),
    Piece("shared array", "A7", "A7 = np.zeros(3)", "A7[0] = 2"),
    Piece("view of one array", "A8[i % 3 : i % 3 + 2]", "A8 = np.arange(6)", "A8[2] = 9", plain=False),
    Piece("overlapping views", "(A9[:3], A9[1:4])", "A9 = np.arange(5)"),
    Piece("large shared array", "A10", "A10 = np.zeros(10_000)"),
    Piece("object of a module", "diffmod.Box(i)"),
    Piece("object with a name", "diffmod.identity", "diffmod.identity.scale = 1", "diffmod.identity.scale += 1"),
    Piece("error", "Problem(i)"),
    Piece("random", "random.Random(i)"),
    Piece("numbers", "(i / 7, -0.0, 10**30 + i, 1j * i, True, float('nan'))"),
)
"""Expressions for the argument ``x`` of call ``i``."""

WRAPPERS = (
    Piece("function", "f = task"),
    Piece("partial", "f = functools.partial(task, extra=[1])", plain=False),
    Piece("lambda", "f = lambda i, x: task(i, x)"),
    Piece("decorated", "def shown(function):\n    @functools.wraps(function)\n    def inner(*args, **kwargs):\n        inner.calls += 1\n        return [inner.calls, function(*args, **kwargs)]\n    inner.calls = 0\n    return inner\nf = shown(task)", "", "f.calls = 5", plain=False),
    Piece("closure", "def make():\n    count = 0\n    kept = []\n    def counting(i, x):\n        nonlocal count\n        count += 1\n        kept.append(count)\n        return [count, kept, task(i, x)]\n    return counting\nf = make()", plain=False),
    Piece("method", "class Sim:\n    def __init__(self):\n        self.state = np.zeros(3)\n    def step(self, i, x):\n        self.state += 1\n        return [float(self.state[0]), task(i, x)]\nsim = Sim()\nf = sim.step", "", "sim.state[0] = 5", plain=False),
    Piece("large object", "class Sim:\n    def __init__(self):\n        self.state = np.zeros(10_000)\n    def step(self, i, x):\n        self.state += 1\n        return [float(self.state[0]), task(i, x)]\nsim = Sim()\nf = sim.step", plain=False),
    Piece("callable object", "class Call:\n    def __init__(self):\n        self.kept = []\n    def __call__(self, i, x):\n        self.kept.append(i)\n        return [len(self.kept), self.kept, task(i, x)]\nf = Call()", "", "f.kept.append(0)", plain=False),
    Piece("partial with an input", "shared = [Point(0), []]\nf = functools.partial(task, extra=shared)", "", "shared.append(1)", plain=False),
    Piece("class decorator", "f = diffmod.scaled(task)", "", "f.scale = 2"),
    Piece("static method", "class Kit:\n    @staticmethod\n    def do(i, x):\n        return task(i, x)\n    @classmethod\n    def make(cls, i, x):\n        return [cls, task(i, x)]\nf = Kit.make"),
)  # fmt: skip

RETURNS = ("out", "tuple(out)", "{'i': i, 'out': out}", "Point(i, out)", "out[-1] if out else None", "Record(i, out)")

ERRORS = (
    Piece("built-in", "raise ValueError('bad', i)"),
    Piece("key", "raise KeyError(i)"),
    Piece("of the script", "raise Problem('bad', i)"),
    Piece("of an own form", "raise Strange(i, 'here')"),
    Piece("with a note", "error = Problem(i)\nerror.add_note(f'note {i}')\nraise error"),
    Piece("with a state", "error = Problem(i)\nerror.held = [x]\nraise error"),
    Piece("from another", "try:\n    1 / 0\nexcept ZeroDivisionError as cause:\n    raise Problem(i) from cause"),
    Piece("of the system", "open('/nowhere/at/all')"),
    Piece("of text", "b'\\xff'.decode()"),
    Piece("group", "raise ExceptionGroup('several', [ValueError(i), Problem('in it')])"),
    Piece("group of strange", "raise ExceptionGroup('several', [Strange(i, 'in it')])"),
    Piece("name", "raise_a_name_error"),
    Piece("attribute", "None.nothing"),
    Piece("assertion", "assert i < 0, f'{i} is not negative'"),
)
