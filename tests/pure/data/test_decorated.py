"""Functions decorated by functools: pickled by value, rebuilt in a process without their script."""

import pickle
import subprocess
import sys

SCRIPT = """
import functools, pickle, sys
from hpcml.data.out_of_band import dumps_result

@functools.lru_cache(maxsize=None, typed=True)
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
@functools.cache
def even(n): return True if n == 0 else odd(n - 1)
@functools.cache
def odd(n): return False if n == 0 else even(n - 1)
@functools.singledispatch
def size(thing): return "other"
@size.register
def _(thing: int): return f"int {thing}"
@size.register(list)
def _(thing): return [size(part) for part in thing]
class Box:
    def __init__(self, n): self.n = n
    @functools.cached_property
    def double(self): return 2 * self.n
    @functools.lru_cache
    def times(self, k): return self.n * k
    @functools.singledispatchmethod
    def show(self, thing): return "object"
    @show.register
    def _(self, thing: int): return thing + self.n
@size.register
def _(thing: Box): return thing.double
def everything(n):
    box = Box(n)
    of_box = box.double, vars(box)["double"], box.times(3), box.show(1), box.show("")
    return fib(30), fib.cache_parameters(), even(9), size([1, box, None]), of_box
print(everything(4)) if len(sys.argv) > 1 else sys.stdout.buffer.write(dumps_result(everything))
"""


def run(*argv):
    command = [sys.executable, "-c", SCRIPT, *argv]
    return subprocess.run(command, capture_output=True, check=True, timeout=100).stdout


def test_decorated_functions_give_the_same_in_another_process():
    everything = pickle.loads(run())
    assert everything.__module__ == "__main__"
    assert str(everything(4)) == run("here").decode().strip()


def test_a_decorated_function_with_a_name_is_sent_by_its_name():
    from functools import lru_cache

    from hpcml.data import code_versions as sources
    from hpcml.data.decorated import reduce_decorated

    cached = next(thing for thing in vars(sources).values() if type(thing) is type(lru_cache(abs)))
    assert reduce_decorated(cached) is None
    assert reduce_decorated(sources.__loader__) is None
    assert pickle.loads(pickle.dumps(cached)) is cached
