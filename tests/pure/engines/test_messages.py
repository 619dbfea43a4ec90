"""Messages of the programs on nodes: they reach the driver whole, through an srun that breaks long lines."""

import os
import queue
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from patience import patient

from hpcml.engines.nodes.messages import send_message
from hpcml.slurm.message_lines import MessageReader, message_lines
from hpcml.slurm.process import Program

LIMIT = 1015  # bytes of a line, its label included, that `srun --label` does not break


def written(messages):
    """Return the lines that a program on a node writes for its messages."""
    reader, writer = os.pipe()
    blocks = []
    reading = threading.Thread(target=lambda: blocks.extend(iter(lambda: os.read(reader, 1 << 16), b"")))
    reading.start()
    for message in messages:
        send_message(message, writer)
    os.close(writer)
    reading.join()
    os.close(reader)
    return b"".join(blocks).splitlines()


def labelled(lines, label):
    """Return the lines as srun prints them: with a label, and broken where they are too long."""
    room = LIMIT - len(label)
    return [label + line[start : start + room] for line in lines for start in range(0, max(len(line), 1), room)]


def taken_together(first, second):
    """Return lines of two nodes as srun prints them: one of each in turn, as long as there are both."""
    longest = max(len(first), len(second))
    return [lines[number] for number in range(longest) for lines in (first, second) if number < len(lines)]


def received(lines, path):
    """Return the messages that the driver reads of a step that prints these lines."""
    (path / "lines").write_bytes(b"".join(line + b"\n" for line in lines))
    inbox = queue.SimpleQueue()
    program = Program("step", ["cat", path / "lines"], os.environ, inbox, path / "step.log")
    messages = []
    while (message := inbox.get(timeout=60)[1]) is not None:
        messages.append(message)
    program.stop()
    assert (path / "step.log").read_text() == ""
    return messages


FORKED = {"node": "n1", "forked": {str(4 * 300 + slot): slot for slot in range(300)}, "note": "imported in 0.3 s"}
REACHED = {"node": "n2", "reached": {f"10.0.{n}.1": "No route to host" if n else "" for n in range(100)}}
PRINTED = {"node": "n1", "slot": 3, "stream": 0, "printed": '"\\\n' * 900, "readings": 7}


@pytest.mark.parametrize("message", [FORKED, REACHED, PRINTED], ids=["forked", "reached", "printed"])
def test_a_long_message_passes_srun(message, tmp_path):
    assert received(labelled(written([message]), b"0: "), tmp_path) == [message]


def test_long_messages_of_two_nodes_are_told_apart_by_their_labels(tmp_path):
    first = [FORKED, {"alive": "n1"}, PRINTED]
    second = [REACHED, {"node": "n2", "died": 12, "status": "exit code 1", "forked": {}}]
    lines = taken_together(labelled(written(first), b" 9: "), labelled(written(second), b"10: "))
    found = received(lines, tmp_path)
    assert [message for message in found if message in first] == first
    assert [message for message in found if message in second] == second
    assert len(found) == 5


def test_a_long_message_without_a_label(tmp_path):
    assert received(written([FORKED, PRINTED]), tmp_path) == [FORKED, PRINTED]


def test_a_part_of_a_message_that_looks_like_a_label(tmp_path):
    """As prints of numbered lines, on one computer, where no srun labels the lines."""
    printed = [{"node": "n1", "printed": " " * shift + 200 * "  12: text\n"} for shift in range(13)]
    assert received(written(printed), tmp_path) == printed


def test_a_message_after_one_that_was_cut_off(tmp_path):
    """A signal can end a program between two lines; the prints that it sends at its end are read."""
    lines = written([PRINTED])[:1] + written([REACHED, {"alive": "n1"}])
    (tmp_path / "lines").write_bytes(b"".join(line + b"\n" for line in lines))
    inbox = queue.SimpleQueue()
    program = Program("step", ["cat", tmp_path / "lines"], os.environ, inbox, tmp_path / "step.log")
    assert [inbox.get(timeout=60)[1] for _ in range(3)] == [REACHED, {"alive": "n1"}, None]
    program.stop()


def test_the_time_for_a_message_grows_with_its_length_only():
    message = {"printed": 8_000_000 * "x"}
    began = time.process_time()
    reader = MessageReader()
    assert [found for line in message_lines(message) if (found := reader.read(line))] == [message]
    assert time.process_time() - began < patient(3)


@given(st.text(max_size=3000) | st.binary(max_size=3000).map(lambda data: data.decode("latin-1")))
@example(3000 * "\\")
def test_lines_of_any_text_stay_whole(text):
    lines = written([{"node": "n1", "printed": text}])
    assert all(len(b"99999: " + line + b"\n") <= LIMIT for line in lines)


def test_a_line_that_a_module_prints_is_in_the_log_while_the_import_goes_on():
    """As the driver reads the log of a node whose import takes too long."""
    code = (
        "import sys, time\nfrom hpcml.engines.nodes.messages import claim_output, send_message\n"
        "send_message({'here': 'n1'}, claim_output())\nprint('importing')\ntime.sleep(600)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout.readline() == '{"here": "n1"}\n'
            assert program.stderr.readline() == "importing\n"
        finally:
            program.kill()
