"""Tasks that need a plain Python process, on all nodes of a job; the last line of output has their findings."""

import asyncio
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from multiprocessing.managers import SyncManager

from joblib import Parallel, delayed

TASKS = range(24)


def on_all_nodes(function, *args):
    return Parallel(n_jobs=-1, batch_size=1)(delayed(function)(number, *args) for number in TASKS)


def speak(number):
    time.sleep(0.1)
    print("python", number)
    print("error", number, file=sys.stderr)
    return subprocess.run(["echo", "child", str(number)], stdout=sys.stdout, check=False).returncode


def around(_):
    mask = os.umask(0)
    os.umask(mask)
    return os.getcwd(), os.environ.get("RATE"), os.environ.get("OMP_NUM_THREADS"), mask


async def _twice(value):
    return 2 * value


def run_loop(number):
    return asyncio.run(_twice(number))


def terminate(_):
    child = multiprocessing.Process(target=time.sleep, args=(600,))
    child.start()
    child.terminate()
    child.join(60)
    return child.exitcode


def end_pool(_):
    with multiprocessing.Pool(2) as pool:
        try:
            return pool.apply_async(time.sleep, (600,)).get(0.1)
        except multiprocessing.TimeoutError:
            return "too long"


def leave_a_child(_):
    subprocess.Popen(["sleep", "600"])


def die(number):
    print("last words of", number, flush=True)
    if number == 5:
        os._exit(11)


def notebook(_):
    import matplotlib
    from IPython import get_ipython

    backend, interactive = matplotlib.get_backend().lower(), matplotlib.is_interactive()
    return [backend, os.environ.get("MPLBACKEND"), interactive, get_ipython()]


def put(number, queue):
    queue.put(number)


def main():
    found = {"speak": on_all_nodes(speak)}
    os.makedirs("results", exist_ok=True)
    os.chdir("results")
    os.umask(0o027)
    os.environ["RATE"] = "0.5"
    found["around"] = sorted(set(on_all_nodes(around)))
    found["loop"] = on_all_nodes(run_loop)
    found["terminate"] = on_all_nodes(terminate)
    found["pool"] = on_all_nodes(end_pool)
    found["left"] = on_all_nodes(leave_a_child)
    found["notebook"] = on_all_nodes(notebook)
    try:
        on_all_nodes(die)
    except Exception as error:
        found["died"] = type(error).__name__, "exit code 11" in str(error)
    manager = SyncManager(address=(socket.gethostname(), 0))
    manager.start()
    queue = manager.Queue()
    on_all_nodes(put, queue)
    found["queue"] = sorted(queue.get(timeout=60) for _ in TASKS)
    manager.shutdown()
    with multiprocessing.Manager() as own:
        try:
            found["unix"] = on_all_nodes(put, own.Queue())
        except OSError as error:
            found["unix"] = error.__notes__
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
