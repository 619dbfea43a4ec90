"""Options of sbatch, read from its help, and found among the words of a command line."""

import pytest

from hpcml.errors import HpcmlError
from hpcml.slurm.jobs.options import SbatchOption, parse_help, split_words

# Lines of `sbatch --help` of Slurm 22.05 and 24.11.
HELP = """Usage: sbatch [OPTIONS(0)...] [ : [OPTIONS(N)...]] script(0) [args(0)...]

Parallel run options:
  -a, --array=indexes         job array index values
      --bb=<spec>             burst buffer specifications
      --deadline=time         remove the job if no ending possible before
                              this deadline (start > (deadline - time[-min]))
  -H, --hold                  submit job in held state
  -N, --nodes=N               number of nodes on which to run (N = min[-max])
      --ntasks-per-node=n     number of tasks to invoke on each node
      --nice[=value]          decrease scheduling priority by value
      --container             Path to OCI container bundle
  -B  --extra-node-info=S[:C[:T]]  combine request of sockets per node,
                              --mem >= --mem-per-cpu if --mem is specified.
"""
KNOWN = parse_help(HELP) | {"--module": SbatchOption("module", value="repeated")}


def test_help_shows_which_options_have_a_value():
    values = {option.name: option.value for option in parse_help(HELP).values()}
    assert {name: values[name] for name in ("array", "hold", "nice", "container", "open-mode", "bb")} == {
        "array": "required",
        "hold": "none",
        "nice": "optional",
        "container": "required",
        "open-mode": "required",
        "bb": "required",
    }
    assert KNOWN["-B"].name == "extra-node-info"
    assert "--mem" not in KNOWN


@pytest.mark.parametrize(
    ("line", "options", "rest"),
    [
        ("search.py --nodes 4 --depth 3", {"nodes": "4"}, "search.py --depth 3"),
        ("-N4 --hold search.py", {"nodes": "4", "hold": None}, "search.py"),
        ("--nodes=1 --nodes=2 search.py -N=3", {"nodes": "3"}, "search.py"),
        ("search.py -- --nodes 7 -- x", {}, "search.py --nodes 7 -- x"),
        ("--nice search.py -x -5", {"nice": None}, "search.py -x -5"),
        ("--module a --module=b -- -m this", {"module": "a,b"}, "-m this"),
    ],
)
def test_options_are_found_wherever_they_stand(line, options, rest):
    given = split_words(line.split(), KNOWN)
    assert given.options == options
    assert given.rest == tuple(rest.split())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--node 4 search.py", "did you mean --nodes"),
        ("--unheard-of search.py", "there is no option --unheard-of"),
        ("search.py --ntask-per-node 4", "did you mean --ntasks-per-node"),
        ("search.py --nodes", "--nodes needs a value"),
        ("--hold=yes search.py", "--hold takes no value"),
    ],
)
def test_mistakes_are_named(line, message):
    with pytest.raises(HpcmlError, match=message):
        split_words(line.split(), KNOWN)
