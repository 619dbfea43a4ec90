"""Programs that the differential test has found and shrunk: each once differed from plain Python."""

import textwrap

import pytest
from batches import ENGINES, check
from generator import HEAD, Program
from programs import opened

FOUND = {
    "a buffer of the script is filled again by each call": """
        buffer = np.zeros(3)
        def f(i, x):
            mark(i)
            buffer[:] = i
            return buffer[1:]
        run("map", f, range(130), [None] * 130)
    """,
    "a buffer of a module is filled again by each call": """
        def f(i, x):
            mark(i)
            return diffmod.fill(i)
        run("map", f, range(130), [None] * 130)
        run("parallel:7", f, range(1000, 1060), [None] * 60)
    """,
    "a list of a module is filled again by each call": """
        def f(i, x):
            mark(i)
            return diffmod.keep(i)
        run("map", f, range(130), [None] * 130)
    """,
    "a global is returned by each call": """
        const = {"a": [1]}
        def f(i, x):
            mark(i)
            return const
        run("map", f, range(130), [None] * 130)
    """,
    "a function is returned by each call": """
        def add(a, b=1):
            return a + b
        def f(i, x):
            mark(i)
            return functools.partial(add, i)
        run("map", f, range(130), [None] * 130)
    """,
    "a list within tuples is changed by calls": """
        shared = []
        def f(i, x):
            mark(i)
            x[0].append(i)
            return x
        run("map", f, range(130), [(shared, i) for i in range(130)])
    """,
    "a list within dicts is returned": """
        shared = []
        def f(i, x):
            mark(i)
            return x
        run("map", f, range(130), [{"held": shared, "i": i} for i in range(130)])
    """,
    "an object of 80 kB counts the calls of its method": """
        class Sim:
            def __init__(self):
                self.state = np.zeros(10_000)
            def step(self, i, x):
                mark(i)
                self.state += 1
                return float(self.state[0])
        run("map", Sim().step, range(130), [None] * 130)
    """,
    "the mutable default of a function is returned": """
        def f(i, x, kept=[]):
            mark(i)
            kept.append(i)
            return kept
        run("map", f, range(130), [None] * 130)
    """,
    "a call in the middle sets a flag": """
        warned = False
        def f(i, x):
            global warned
            mark(i)
            if i % 50 == 47 and not warned:
                warned = True
            return warned
        run("map", f, range(130), [None] * 130)
    """,
    "some calls change a dict": """
        seen = {}
        def f(i, x):
            mark(i)
            if i % 7 == 4:
                seen["n"] = i
            return dict(seen)
        run("map", f, range(130), [None] * 130)
        run("parallel:7", f, range(1000, 1060), [None] * 60)
    """,
    "a function with a sentinel as default": """
        nothing = object()
        def g(i, d=nothing):
            return d is nothing
        def f(i, x):
            mark(i)
            return g(i)
        run("map", f, range(130), [None] * 130)
    """,
    "an element of a global list is the argument": """
        players = [Player(1), Player(10), Player(100)]
        def f(i, x):
            mark(i)
            return sum(other.n for other in players if other is not x)
        run("map", f, range(3), players)
        run("parallel", f, range(10, 13), players)
        run("submit", f, range(20, 23), players)
    """,
    "a sentinel is passed": """
        nothing = Player(0)
        def f(i, x):
            mark(i)
            return x is nothing
        run("map", f, range(60), [nothing] * 60)
    """,
    "an argument is the content of a partial": """
        pool = [Player(1), [2]]
        def task(i, x, others):
            mark(i)
            return [x is other for other in others], x, others
        f = functools.partial(task, others=pool)
        run("map", f, range(2), pool)
        run("submit", f, range(10, 12), pool)
    """,
    "the index of an argument in an object": """
        class Graph:
            def __init__(self):
                self.nodes = [Player(1), Player(2)]
                self.cost = {node: node.n for node in self.nodes}
            def of(self, i, node):
                mark(i)
                return self.cost[node], self.nodes.index(node)
        graph = Graph()
        run("map", graph.of, range(2), graph.nodes)
        run("parallel:1", graph.of, range(10, 12), graph.nodes)
    """,
    "a task prints by descriptor": """
        def f(i, x):
            mark(i)
            os.write(1, f"{RUN} {i} o said\\n".encode())
            print(f"{RUN} {i} e said", file=sys.stderr)
        run("map", f, range(3), [None] * 3)
    """,
    "the environment is changed between two maps": """
        def f(i, x):
            mark(i)
            return os.environ.get("DIFF_VALUE"), os.environ.get("DIFF_GONE")
        os.environ["DIFF_VALUE"] = os.environ["DIFF_GONE"] = "1"
        run("map", f, range(3), [None] * 3)
        os.environ["DIFF_VALUE"] = "2"
        del os.environ["DIFF_GONE"]
        run("parallel", f, range(10, 13), [None] * 3)
        run("submit", f, range(20, 23), [None] * 3)
    """,
    "the folder is changed": """
        def f(i, x):
            mark(i)
            with open(f"made-{i}", "w") as made:
                made.write("x")
            return os.path.basename(os.getcwd())
        run("map", f, range(3), [None] * 3)
        os.makedirs("one", exist_ok=True)
        os.chdir("one")
        run("submit", f, range(10, 13), [None] * 3)
    """,
    "the umask is set": """
        def f(i, x):
            mark(i)
            mask = os.umask(0o22)
            os.umask(mask)
            return mask
        os.umask(0o27)
        run("map", f, range(3), [None] * 3)
    """,
    "a group of exceptions that want arguments": """
        class Strange(Exception):
            def __init__(self, code, place):
                super().__init__(f"{code} at {place}")
                self.code, self.place = code, place
        def f(i, x):
            mark(i)
            raise ExceptionGroup("several", [Strange(i, "here"), ValueError(i)])
        run("submit", f, range(3), [None] * 3)
    """,
    "subclasses note themselves in their base class": """
        class Shape:
            known = {}
            def __init_subclass__(cls, **more):
                super().__init_subclass__(**more)
                Shape.known[cls.__name__] = cls
        class Box(Shape):
            pass
        def f(i, x):
            mark(i)
            return Shape.known[type(x).__name__] is type(x), isinstance(x, Box)
        run("map", f, range(6), [Box() for _ in range(6)])
        run("parallel:1", f, range(10, 16), [Box() for _ in range(6)])
    """,
    "a call gives a class another attribute": """
        class Kept:
            pass
        def f(i, x):
            mark(i)
            if not hasattr(Kept, "seen"):
                Kept.seen = []
            Kept.seen.append(i)
            return len(Kept.seen), isinstance(x, Kept)
        run("map", f, range(130), [Kept() for _ in range(130)])
        run("parallel:1", f, range(130, 136), [Kept() for _ in range(6)])
    """,
    "classes with slots": """
        class Slotted:
            __slots__ = ("n",)
            def __init__(self, n):
                self.n = n
        def f(i, x):
            mark(i)
            return Slotted(i)
        run("map", f, range(3), [None] * 3)
    """,
    "a result is of a class whose attribute a call has set": """
        class Tally:
            total = 0
        def f(i, x):
            mark(i)
            Tally.total += 1
            return Tally(), Tally.total
        run("map", f, range(3), [None] * 3)
        run("submit", f, range(10, 13), [None] * 3)
    """,
    "a class is changed while a call is under way": """
        class Tally:
            total = 0
        def given():
            for n in range(3):
                yield n
            Tally.total = 5
        def f(i, x):
            mark(i)
            return Tally()
        run("submit", f, range(4), given())
    """,
    "classes of a run that is resumed": """
        def f(i, x):
            mark(i)
            return Player(i), Player
        run("map", f, range(12), [None] * 12)
        run("parallel", f, range(20, 32), [None] * 12)
    """,
    "an enum of a run that is resumed": """
        class State(enum.Enum):
            OK = 1
            FAILED = 2
        def f(i, x):
            mark(i)
            return State.FAILED if i % 2 else State.OK
        run("submit", f, range(12), [None] * 12)
    """,
}
PLAYER = "class Player:\n    def __init__(self, n):\n        self.n = n\n"


@pytest.fixture(scope="module")
def drivers(tmp_path_factory):
    with opened(["isolated", *ENGINES, "resumed"], tmp_path_factory.mktemp("found")) as running:
        yield running


@pytest.mark.parametrize("name", FOUND)
def test_a_found_program_gives_the_same_as_each_call_alone(name, drivers):
    source = HEAD + PLAYER * ("Player" in FOUND[name]) + textwrap.dedent(FOUND[name])
    check(drivers, Program(source, False, 12, frozenset(), cut=0.5 if "resumed" in name else None))
