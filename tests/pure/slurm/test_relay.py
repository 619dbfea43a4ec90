"""Relay: commands of a process in a container run outside, with its streams, and end with it."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from patience import patient, wait_until

from hpcml.errors import CommandError
from hpcml.slurm import process
from hpcml.slurm.process import Inbox, Program, run
from hpcml.slurm.relay import RelayedChild
from hpcml.slurm.relay_server import Foreground, Relay


@pytest.fixture
def relay(tmp_path):
    with tempfile.TemporaryDirectory() as directory:  # the path of a socket has at most 107 bytes
        found = Relay(Path(directory, "relay"), {"PATH": os.environ["PATH"], "APPTAINER_BIND": "/data"})
        yield found
        found.close()


@pytest.fixture
def contained(relay, monkeypatch):
    """This process runs its commands by the relay."""
    monkeypatch.setattr(process, "_relays", [str(relay.path)])
    return relay


def start(relay, *argv):
    return RelayedChild(str(relay.path), argv, {}, [os.open(os.devnull, os.O_RDWR)] * 3)


def test_a_command_has_the_variables_of_the_container_without_the_images_own(contained):
    images = {"PATH": "/image/bin", "LD_LIBRARY_PATH": "/image/lib", "APPTAINER_NAME": "x"}
    said = run(["env"], {**images, "OMP_NUM_THREADS": "2"}).splitlines()
    assert sorted(said) == sorted([f"PATH={os.environ['PATH']}", "APPTAINER_BIND=/data", "OMP_NUM_THREADS=2"])
    assert sorted(run(["env"]).splitlines()) == sorted([f"PATH={os.environ['PATH']}", "APPTAINER_BIND=/data"])


def test_a_command_runs_in_the_same_directory_and_inherits_files(contained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with tempfile.TemporaryFile() as file:
        file.write(b"content")
        file.flush()
        said = run(["sh", "-c", 'pwd; cat "$0"', f"/proc/self/fd/{file.fileno()}"], {}, inherit=[file.fileno()])
    assert said == f"{tmp_path}\ncontent"


def test_failures_are_those_of_commands_without_a_relay(contained):
    with pytest.raises(CommandError, match="cannot be started.*No such file"):
        run(["/missing"], {})
    with pytest.raises(CommandError, match="(?s)failed with exit code 3.*said"):
        run(["sh", "-c", "echo said >&2; exit 3"], {})
    with pytest.raises(CommandError, match="did not end within"):
        run(["sleep", "60"], {}, timeout=0.2)


def test_a_program_exchanges_messages_and_ends_in_order(contained, tmp_path):
    inbox = Inbox()
    program = Program("echo", ["cat"], {}, inbox, tmp_path / "log")
    program.send({"a": 1})
    assert inbox.get(timeout=patient(10))[1] == {"a": 1}
    assert program.status is None
    program.stop()
    assert program.status == 0
    assert inbox.get(timeout=patient(10))[1] is None


def test_a_program_that_ignores_its_input_is_ended_by_signals(contained, tmp_path):
    program = Program("sleep", ["sleep", "1000"], {}, Inbox(), tmp_path / "log")
    program.stop(grace=0.3)
    assert program.status == -signal.SIGTERM


def test_a_command_ends_when_its_process_in_the_container_is_gone(relay, tmp_path):
    child = start(relay, "sh", "-c", 'echo $$ >"$0"; exec sleep 1000', str(tmp_path / "number"))
    wait_until(lambda: (tmp_path / "number").exists() and (tmp_path / "number").read_text().endswith("\n"), 10)
    command = Path("/proc", (tmp_path / "number").read_text().strip())
    assert command.exists()
    child.close()
    wait_until(lambda: not command.exists(), 10)


def test_an_order_of_a_signal_reaches_the_command(relay):
    child = start(relay, "sleep", "1000")
    child.send_signal(signal.SIGUSR1)
    assert child.wait(patient(10)) == -signal.SIGUSR1
    assert child.poll() == -signal.SIGUSR1


def test_a_process_whose_relay_was_killed_gets_the_signal_of_its_end(tmp_path):
    program = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from hpcml.slurm.relay import RelayedChild\n"
        "from hpcml.slurm.relay_server import Relay\n"
        "if os.fork():\n"
        "    while not os.path.exists(sys.argv[1]): time.sleep(0.01)\n"
        "    child = RelayedChild(sys.argv[1], ['sleep', '3'], {}, [0, 1, 2])\n"
        "    print('started', flush=True)\n"
        "    child.wait(60)\n"
        "else:\n"
        "    Relay(Path(sys.argv[1]), dict(os.environ))\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-c", program, f"{directory}/relay"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
            server, _ = sorted(child.stdout.readline().strip() for _ in range(2))
            os.kill(int(server), signal.SIGKILL)
            assert child.wait(patient(20)) == -signal.SIGTERM


def test_the_socket_is_the_users_alone(relay):
    assert relay.path.stat().st_mode & 0o777 == 0o600


def test_a_relay_that_is_closed_ends_its_commands(relay):
    child = start(relay, "sleep", "1000")
    began = time.monotonic()
    relay.close()
    assert child.wait(patient(10)) == -signal.SIGTERM
    assert time.monotonic() - began < patient(10)
    assert not relay.path.exists()
    with pytest.raises(OSError):
        start(relay, "true")


def test_a_program_in_the_foreground_has_this_process_streams(capfd):
    assert Foreground(["sh", "-c", "echo said; exit 4"], os.environ).wait() == 4
    assert capfd.readouterr().out == "said\n"
    assert Foreground(["sh", "-c", "kill -TERM $$"], os.environ).wait() == 143
    with pytest.raises(CommandError, match="cannot be started"):
        Foreground(["/missing"], {})


def test_a_process_ends_when_its_relay_is_killed(tmp_path):
    path = tmp_path.relative_to(tmp_path.parent) / "relay"
    serve = "import sys, time; from pathlib import Path; from hpcml.slurm.relay_server import Relay; "
    serve += "Relay(Path(sys.argv[1]), {}); print(flush=True); time.sleep(600)"
    wait = "import sys, time; from hpcml.slurm.relay import end_with_relay; "
    wait += "end_with_relay(sys.argv[1]); print(flush=True); time.sleep(600)"
    children = []
    try:
        for program in (serve, wait):
            command = [sys.executable, "-c", program, str(path)]
            children.append(subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path.parent))
            assert children[-1].stdout.readline() == b"\n"
        children[0].kill()
        assert children[1].wait(patient(30)) == -signal.SIGTERM
    finally:
        for child in children:
            child.kill()
            child.communicate()
