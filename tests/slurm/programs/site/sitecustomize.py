"""Orders of a test to every Python of a run; this folder is in PYTHONPATH, and the orders are variables.

HPCML_TEST_KEYS=DIRECTORY   each pair of keys that is made is kept there, in a file of mode 0600
HPCML_TEST_SLOW=NODE        Python begins only when the file of that name is gone from the directory above
HPCML_TEST_BROKEN=NODE      Python fails there
HPCML_TEST_TALKS=NODE       making keys prints something there, without an end of line
"""

import os
import time
import uuid

import zmq

DIRECTORY = os.environ["HPCML_TEST_KEYS"]
NODE = os.uname().nodename


def curve_keypair(made=zmq.curve_keypair):
    pair = made()
    path = os.path.join(DIRECTORY, uuid.uuid4().hex)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(b" ".join(pair))
    if os.environ.get("HPCML_TEST_TALKS") == NODE:
        os.write(1, b"a key is made, ")
    return pair


zmq.curve_keypair = curve_keypair
if os.environ.get("HPCML_TEST_BROKEN") == NODE:
    os._exit(9)
end = time.monotonic() + 30
while os.environ.get("HPCML_TEST_SLOW") == NODE and time.monotonic() < end:
    if not os.path.exists(os.path.join(DIRECTORY, NODE)):
        break
    time.sleep(0.05)
