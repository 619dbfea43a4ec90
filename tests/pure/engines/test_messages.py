"""Messages of the programs on nodes: lines that srun keeps whole."""

import json

from hypothesis import given
from hypothesis import strategies as st

from hpcml.engines.nodes.messages import pieces


@given(st.text(max_size=3000) | st.binary(max_size=3000).map(lambda data: data.decode("latin-1")))
def test_a_text_is_sent_in_lines_that_stay_whole(text):
    parts = list(pieces(text))
    assert "".join(parts) == text
    assert all(len(json.dumps(part)) <= 800 for part in parts)
