"""`hpcml run --engine torch` on this computer: a program is as by `python`, and its ranks end together."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from patience import patient, promised, wait_until

MEETING = Path(__file__).parents[1] / "slurm" / "programs" / "env_ranks.py"
PROGRAM = """
import os, sys
print(sys.argv, __name__, sys.path[0], os.getcwd(), sys.stdin.read(), "hpcml" in sys.modules, flush=True)
sys.stdout.buffer.write(bytes(range(256)) * 400 + b"no end of line")
sys.stderr.write("an error line\\n")
sys.exit(int(sys.argv[1]))
"""


def start(words, ranks=3, options=(), **settings):
    command = [sys.executable, "-m", "hpcml", "run", "--engine", "torch", f"--slots-per-node={ranks}", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return subprocess.Popen([*command, *map(str, words)], **{**pipes, **settings})


def run(words, ranks=3, options=(), **settings):
    """Run ranks to their end; return exit status, standard output and standard error."""
    with start(words, ranks, options, **settings) as process:
        output, errors = process.communicate(timeout=patient(60))
    return process.returncode, output, errors.decode()


def worlds(output):
    return [json.loads(line) for line in output.decode().splitlines() if line.startswith("[{")]


def left(path):
    """Return the processes whose command line names a path."""
    lines = ((one.pid, " ".join(one.info["cmdline"] or ())) for one in psutil.process_iter(["cmdline"]))
    return [(pid, line) for pid, line in lines if str(path) in line and pid != os.getpid()]


@pytest.fixture
def meeting(tmp_path):
    """A copy of the program, whose processes are then known by its path; they are gone after the test."""
    copy = tmp_path / "env_ranks.py"
    copy.write_text(MEETING.read_text())
    yield copy
    wait_until(lambda: not left(copy), 15, lambda: left(copy))


@pytest.mark.parametrize("status", [0, 5])
@pytest.mark.parametrize("form", [["program.py"], ["-m", "program"], ["-c", PROGRAM]], ids=["script", "-m", "-c"])
def test_one_rank_is_the_same_as_python(form, status, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    words = [*form, str(status), "--restarts=7", "-x"]
    plain = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    found, output, errors = run(words, 1, cwd=tmp_path)
    assert (found, output) == (plain.returncode, plain.stdout)
    assert plain.stderr.decode() in errors


def test_the_port_of_rank_0_is_the_only_one_and_at_one_address(tmp_path):
    code = (
        "import os, socket, time\n"
        "if os.environ['RANK'] == '0':\n"
        "    listener = socket.create_server((os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT'])))\n"
        "    print(os.environ['MASTER_PORT'], flush=True)\n"
        "time.sleep(600)\n"
    )
    with start(["-c", code], 2, cwd=tmp_path) as process:
        port = int(process.stdout.readline())
        command = psutil.Process(process.pid)
        wait_until(lambda: len(command.children(recursive=True)) == 4)
        family = [command, *command.children(recursive=True)]
        opened = [one for member in family for one in member.net_connections() if one.status == "LISTEN"]
        process.terminate()
        process.communicate(timeout=patient(30))
    assert [tuple(one.laddr) for one in opened] == [("127.0.0.1", port)]


def test_ranks_find_each_other(meeting, tmp_path):
    status, output, errors = run([meeting], 3, cwd=tmp_path)
    assert status == 0, errors
    (ranks,) = worlds(output)
    assert [(rank["RANK"], rank["LOCAL_RANK"], rank["WORLD_SIZE"]) for rank in ranks] == [
        (str(number), str(number), "3") for number in range(3)
    ]
    assert {rank["MASTER_ADDR"] for rank in ranks} == {"127.0.0.1"}, "not reached from other computers"
    assert {rank["OMP_NUM_THREADS"] for rank in ranks} == {"1"}
    assert "3 ranks on" in errors


def test_lines_of_ranks_stay_whole(tmp_path):
    code = "import os; [print(os.environ['RANK'] * 5000) for _ in range(50)]"
    status, output, _ = run(["-c", code], 3, cwd=tmp_path)
    assert status == 0
    lines = output.decode().splitlines()
    assert sorted(lines) == sorted(50 * [number * 5000 for number in "012"])


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ("raise", 1, "ended with exit status 1; its standard error ended with\n    Traceback"),
        ("3", 3, "ended with exit status 3"),
        ("SIGKILL", 137, "was ended by SIGKILL"),
        ("SIGSEGV", 139, "was ended by SIGSEGV"),
    ],
)
def test_a_dead_rank_ends_all(how, status, words, meeting, tmp_path):
    """The others do not heed SIGTERM after SIGKILL."""
    began = time.monotonic()
    found, _, errors = run([meeting, f"1:{how}"], 3, cwd=tmp_path)
    assert found == status, errors
    assert f"hpcml: rank 1 of 3, on {os.uname().nodename}, {words}" in errors
    assert ("    ValueError: a loss that is no number" in errors) == (how == "raise")
    assert time.monotonic() - began < promised(5) + patient(10), "5 s, and the start"


def test_restarts_have_ports_of_their_own_and_a_count(meeting, tmp_path):
    status, output, errors = run([meeting, "1:SIGKILL"], 2, ["--restarts=2"], cwd=tmp_path)
    assert status == 0, errors
    first, second = worlds(output)
    assert first[0]["MASTER_PORT"] != second[0]["MASTER_PORT"]
    assert [ranks[1]["TORCHELASTIC_RESTART_COUNT"] for ranks in (first, second)] == ["0", "1"]
    assert first[0]["TORCHELASTIC_RUN_ID"] == second[0]["TORCHELASTIC_RUN_ID"]
    assert "restart 1 of 2" in errors


def test_a_rank_that_fails_each_time_ends_the_run(meeting, tmp_path):
    status, output, errors = run([meeting, "always:4"], 2, ["--restarts=1"], cwd=tmp_path)
    assert status == 4, errors
    assert len(worlds(output)) == 2
    assert len(re.findall("rank 1 of 2, .* ended with exit status 4", errors)) == 2


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_signals_of_the_command_are_those_of_the_ranks(number, status, meeting, tmp_path):
    """SIGKILL is none that can be passed on: the ranks end all the same."""
    with start([meeting, "wait"], 2, cwd=tmp_path, start_new_session=True) as process:
        assert worlds(process.stdout.readline())
        os.kill(process.pid, number)
        process.communicate(timeout=patient(30))
    assert process.returncode == status


def test_a_rank_saves_its_state_at_sigterm(tmp_path):
    code = (
        "import signal, sys, time, os\n"
        "signal.signal(signal.SIGTERM, lambda *_: (open(os.environ['RANK'], 'w').close(), sys.exit(0)))\n"
        "print('ready', flush=True)\ntime.sleep(600)\n"
    )
    with start(["-c", code], 2, cwd=tmp_path) as process:
        assert [process.stdout.readline() for _ in range(2)] == [b"ready\n"] * 2
        process.terminate()
        process.communicate(timeout=patient(30))
    assert process.returncode == 0
    assert {"0", "1"} <= set(os.listdir(tmp_path))


def test_a_killed_program_beside_a_rank_ends_all(meeting, tmp_path):
    with start([meeting, "wait"], 2, cwd=tmp_path) as process:
        assert worlds(process.stdout.readline())
        pids = [pid for pid, line in left(meeting) if "commands.torch.rank" in line]
        os.kill(pids[0], signal.SIGKILL)
        errors = process.communicate(timeout=patient(40))[1].decode()
    assert process.returncode == 1
    assert "the ranks have ended" in errors


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--resume", "s.py"], "--resume does not go with --engine torch"),
        (["-"], "standard input is there once"),
        (["--restarts=no", "s.py"], "no is no whole number"),
    ],
)
def test_what_ranks_cannot_have_is_refused(words, message, tmp_path):
    (tmp_path / "s.py").touch()
    status, _, errors = run(words, 1, cwd=tmp_path)
    assert status != 0
    assert message in errors


def test_other_engines_have_no_restarts(tmp_path):
    command = [sys.executable, "-m", "hpcml", "run", "--restarts=1", "-c", "pass"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "--restarts is for ranks" in done.stderr


def test_a_rank_of_torchrun_keeps_its_place(tmp_path):
    """As torchrun starts it; there, mpirun and srun, `hpcml run` is one rank, and starts none."""
    given = {"RANK": "2", "WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1234"}
    code = "import os; print([os.environ[name] for name in ('RANK', 'WORLD_SIZE', 'MASTER_PORT', 'LOCAL_RANK')])"
    command = [sys.executable, "-m", "hpcml", "run", "--engine", "torch", "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, **given}, check=False
    )
    assert done.stdout == "['2', '4', '1234', '2']\n", done.stderr


def test_a_signal_that_ranks_handle_is_no_end(tmp_path):
    """A rank that fails later is a failure, for which there is a restart."""
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGUSR1, lambda *_: print('got', flush=True))\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
        "sys.exit(3 if os.environ['TORCHELASTIC_RESTART_COUNT'] == '0' else 0)\n"
    )
    with start(["-c", code], 1, ["--restarts=1"], cwd=tmp_path) as process:
        for _ in range(2):
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(signal.SIGUSR1)
            assert process.stdout.readline() == b"got\n"
        errors = process.communicate(timeout=patient(30))[1].decode()
    assert process.returncode == 0, errors
    assert "rank 0 of 1, on" in errors
    assert "ended with exit status 3" in errors
