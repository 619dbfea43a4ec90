"""Lines of a step's output that hold messages: JSON objects, each in one line, a long one in several.

``srun --label`` puts the number of the task and ": " before each line, and breaks lines of more than about
1,015 bytes. A long object is therefore written in lines below that limit. All but the last of them end in a
backslash, and all but the first begin with one, as no line of JSON does. The reader joins those with the same
label. Without the backslash at its beginning, a part such as ``5: text`` would look like a line with a label.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["MessageReader", "message_lines"]

LINE_BYTES = 1000  # the end of the line included; the rest of srun's limit is for the label
_LABEL = re.compile(rb"\s*\d+: ")
_CONTINUED = b"\\"
_PART_BYTES = LINE_BYTES - 2 * len(_CONTINUED) - 1


def message_lines(message: Mapping[str, object]) -> Iterator[bytes]:
    """Yield the lines that hold an object.

    Examples
    --------
    >>> from hpcml.slurm.message_lines import message_lines
    >>> list(message_lines({"here": "n1"}))
    [b'{"here": "n1"}\\n']
    >>> [len(line) for line in message_lines({"printed": 1500 * "-"})]
    [999, 520]
    """
    content = json.dumps(message).encode()
    for start in range(0, len(content), _PART_BYTES):
        end = start + _PART_BYTES
        before = _CONTINUED if start else b""
        after = _CONTINUED if end < len(content) else b""
        yield before + content[start:end] + after + b"\n"


class MessageReader:
    """Reader of the objects in a step's output; lines of several tasks may come in any order."""

    def __init__(self) -> None:
        self._begun: dict[bytes, list[bytes]] = {}  # label: the parts of an object so far

    def read(self, line: bytes) -> dict[str, Any] | None:
        """Return the object that `line` completes; None while the object lacks lines.

        Raises
        ------
        ValueError
            The line holds no object, nor a part of one.
        """
        match = _LABEL.match(line)
        label = match.group() if match else b""
        content = line[len(label) :].rstrip(b"\n")
        parts: list[bytes] = []
        if content.startswith(_CONTINUED) and label in self._begun:
            parts = self._begun.pop(label)
            content = content[len(_CONTINUED) :]
        elif not content.startswith(b"{"):
            raise ValueError(f"{line!r} is no part of a JSON object")
        if content.endswith(_CONTINUED):
            parts.append(content[: -len(_CONTINUED)])
            self._begun[label] = parts
            return None
        message: dict[str, Any] = json.loads(b"".join([*parts, content]))
        return message
