"""Client of JupyterLab on the login node: asks with tokens, and runs a cell as a browser does.

The URL and the file of the configuration are arguments; the cell comes from standard input. Prints as JSON
the answers to requests with the token and without, and what the cell has printed.
"""

import asyncio
import json
import sys
import urllib.error
import urllib.request
import uuid

from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

TIMEOUT_SECONDS = 300


def ask(url, token, method="GET"):
    """Return the status and the content of JupyterLab's answer."""
    request = urllib.request.Request(url, headers={"Authorization": f"token {token}"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, None


def run_cell(url, token, code):
    """Start a kernel, run a cell in it, and return all that the cell has printed."""
    kernel = ask(f"{url}/api/kernels", token, "POST")[1]["id"]
    channels = f"{url.replace('http', 'ws', 1)}/api/kernels/{kernel}/channels"
    request = HTTPRequest(channels, headers={"Authorization": f"token {token}"})
    return asyncio.run(asyncio.wait_for(_run(request, code), TIMEOUT_SECONDS))


async def _run(request, code):
    number = uuid.uuid4().hex
    header = {"msg_id": number, "msg_type": "execute_request", "version": "5.3", "username": "", "session": number}
    message = {"header": header, "parent_header": {}, "metadata": {}, "channel": "shell",
               "content": {"code": code, "silent": False, "store_history": True}}  # fmt: skip
    socket = await websocket_connect(request)
    await socket.write_message(json.dumps(message))
    printed = ""
    while True:
        answer = json.loads(await socket.read_message())
        if answer["parent_header"].get("msg_id") != number:
            continue
        content = answer["content"]
        printed += content.get("text", "") if answer["msg_type"] == "stream" else ""
        printed += "\n".join(content["traceback"]) if answer["msg_type"] == "error" else ""
        if answer["msg_type"] == "status" and content["execution_state"] == "idle":
            socket.close()
            return printed


if __name__ == "__main__":
    url, config = sys.argv[1:]
    with open(config) as file:
        token = json.load(file)["IdentityProvider"]["token"]
    statuses = [ask(f"{url}/api/status", one)[0] for one in (token, "wrong")]
    print(json.dumps([statuses, run_cell(url, token, sys.stdin.read())]))
