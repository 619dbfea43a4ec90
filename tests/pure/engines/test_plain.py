"""PlainProcess: a task finds Python as it was before the kernel; requests of views find the kernel again."""

import subprocess
import sys

PROGRAM = """
import asyncio, builtins, os, sys
from hpcml.engines.ipyparallel.plain import PlainProcess

plain = PlainProcess(os.environ)
main = sys.modules["__main__"]

# What a kernel does.
os.environ["IPYTHONDIR"] = "/tmp"
sys.path.insert(0, "/shell")
sys.displayhook = print
sys.ps1 = "In : "
builtins.get_ipython = lambda: "shell"
sys.modules["ipykernel"] = "the kernel"

def look(frame):
    return (frame, sys.displayhook is sys.__displayhook__, hasattr(sys, "ps1"), hasattr(builtins, "get_ipython"),
            "ipykernel" in sys.modules, "IPYTHONDIR" in os.environ, "/shell" in sys.path,
            sys.modules["__main__"] is main, asyncio.events._get_running_loop())

def new_loop(frame):
    asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
    return asyncio.run(asyncio.sleep(0, frame))

async def kernel():
    policy = asyncio.get_event_loop_policy()
    assert plain.run(look, b"1") == (b"1", True, False, False, False, False, False, False, None)
    assert plain.run(new_loop, b"2") == b"2"
    assert asyncio.get_event_loop_policy() is policy
    assert plain.run(look, b"3")[1:] == (True, False, False, False, False, False, False, None)
    assert asyncio.get_running_loop()
    plain.show()
    assert sys.ps1 == "In : " and builtins.get_ipython() == "shell" and sys.displayhook is print
    assert sys.modules["ipykernel"] == "the kernel" and sys.modules["__main__"] is main
    assert plain.run(look, b"4")[1:] == (True, False, False, False, False, False, False, None)

def fail(frame):
    raise ValueError(frame)

async def failing():
    try:
        plain.run(fail, b"5")
    except ValueError:
        assert asyncio.get_running_loop()

asyncio.run(kernel())
asyncio.run(failing())
print("done")
"""


def test_the_shell_is_hidden_from_tasks_and_shown_to_views():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout == "done\n"
