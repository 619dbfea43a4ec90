"""States of nodes, as sinfo of two releases prints them, in words."""

from hpcml.slurm.node_states import late_in_words, parse_node_states, parse_resume_timeout

# n1 to n4 as 24.11.5 printed them for two partitions; the others by NODE STATE CODES in sinfo(1).
PRINTED = """n1|mixed|none
n1|mixed|none
n2|allocated#|none
n2|allocated#|none
n3|down~|ResumeTimeout reached
n4|allocated#|none
n5|mixed*|Not responding
n6|down*|Not responding
n7|allocated-|none
n8|reboot^|kernel
n9|drained|disk
"""


def words(*names):
    return late_in_words(parse_node_states(PRINTED, names))


def test_nodes_that_are_alike_are_named_together():
    assert words("n1", "n2", "n3", "n4") == "n[2,4] are powering up; n3 is down (ResumeTimeout reached)"


def test_a_node_that_runs_jobs_is_ready():
    assert words("n1", "n7", "n9") == ""


def test_a_node_that_is_not_shown_is_off():
    """22.05 shows nodes in the cloud that are off to administrators alone."""
    assert words("n1", "c1") == "c1 is powered off"


def test_nodes_that_do_not_answer_are_told_from_nodes_that_are_given_up():
    states = parse_node_states(PRINTED, ["n5", "n6", "n8"])
    assert late_in_words(states) == "n5 does not respond; n6 is down (Not responding); n8 is rebooting"
    assert [state.failed for state in states.values()] == [False, True, False]


def test_slurms_own_timeout_is_taken_where_none_is_printed():
    assert parse_resume_timeout("ResumeTimeout           = 300 sec") == 300
    assert parse_resume_timeout("ResumeProgram           = (null)") == 60
