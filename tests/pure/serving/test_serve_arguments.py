"""``hpcml serve``: messages about arguments, and where the URL of Redis comes from."""

import signal

import numpy as np
import pytest

from hpcml.commands.main import main
from hpcml.errors import HpcmlError
from hpcml.models import ModelStore
from hpcml.serving.redis_url import find_url, shown_address


@pytest.fixture
def serve(tmp_path, capsys, monkeypatch):
    """Function that runs ``hpcml serve m`` with words; returns its status and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPCML_REDIS_URL", raising=False)
    (tmp_path / "own_scoring.py").write_text("import json\nscore = max\nnumber = 1\n")
    ModelStore("models").save("m", {"w": np.zeros(1)}, promote=True)
    before = {number: signal.getsignal(number) for number in range(1, 16) if number not in (9,)}

    def run(*words):
        status = main(["serve", "m", *words])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    yield run
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--function own_scoring:score", "name the source of the items: --stream NAME of Redis, or --inbox DIR"),
        ("--function own_scoring:score --inbox a --stream b", "name the source of the items"),
        ("--function own_scoring:score --inbox a", "the results of an inbox need a directory: --outbox DIR"),
        ("--function own_scoring:score --inbox a --outbox a", "a cannot be both inbox and outbox"),
        ("--function own_scoring:score --stream redis://h/s", "belongs into HPCML_REDIS_URL"),
        ("--function own_scoring:score --stream s", "no URL of Redis: set HPCML_REDIS_URL"),
        ("--function own_scoring --stream s", "write MODULE:FUNCTION"),
        ("--function own_scoring:other --stream s", "has no attribute 'other'"),
        ("--function no_such_module:f --stream s", "No module named 'no_such_module'"),
        ("--function own_scoring:number --stream s", "is no function: it is a int"),
        ("--stream s", "m is a dict, which has no method predict: name a function(model, batch) with --function"),
        ("--version 4 --stream s", "m has no version 4 in models; its versions are: 1"),
        ("--store elsewhere --stream s", "elsewhere has no model m; its models are: none"),
    ],
)
def test_messages(serve, words, message):
    status, text = serve(*words.split())
    assert status == 1
    assert message in text
    assert text.startswith("hpcml: ")
    assert text.count("\n") == 1


def test_a_redis_that_is_not_there_is_an_error_at_once(serve, monkeypatch, tmp_path):
    pytest.importorskip("redis", reason="redis is not installed")
    monkeypatch.setenv("HPCML_REDIS_URL", f"unix://{tmp_path}/no-socket?password=hidden-word")
    status, text = serve("--function", "own_scoring:score", "--stream", "s")
    assert status == 1
    assert f"Redis at {tmp_path}/no-socket does not answer" in text
    assert "hidden-word" not in text


def test_the_url_is_in_a_private_file_or_in_the_environment(tmp_path):
    file = tmp_path / "url"
    file.write_text("redis://:secret@host/0\n")
    file.chmod(0o600)
    assert find_url({"HPCML_REDIS_URL": "redis://other"}, file) == "redis://:secret@host/0"
    assert find_url({"HPCML_REDIS_URL": "redis://other"}) == "redis://other"
    file.write_text("http://:secret@host/0\n")
    with pytest.raises(HpcmlError, match="holds no URL of Redis") as caught:
        find_url({}, file)
    assert "secret" not in str(caught.value)
    file.chmod(0o640)
    with pytest.raises(HpcmlError, match="chmod 600"):
        find_url({}, file)
    assert shown_address("redis://:secret@[::1]:6380/0") == "::1:6380"


@pytest.mark.parametrize(
    "url",
    [
        "redis://:pa/ss@host:6379/0",
        "redis://:pa#ss@host:6379/0",
        "redis://:pa?ss@host:6379/0",
        "rediss://me:12/ss@host:6379/0",
        "redis://:pa@12/ss@host:6379/0",
        "redis://me:12?ss@host",
        "redis://:pa[ss@host:6379/0",
        "redis://:pa\u2100ss@host:6379/0",
        "redis://:pa@host:port/0",
        "redis://:pa@host:70000/0",
        "unix://:pa/ss@/run/redis.socket",
    ],
)
def test_a_url_that_is_none_is_an_error_without_a_part_of_it(url, capsys, serve, monkeypatch):
    monkeypatch.setenv("HPCML_REDIS_URL", url)
    status, text = serve("--function", "own_scoring:score", "--stream", "s")
    assert status == 1
    assert text.startswith("hpcml: the variable HPCML_REDIS_URL holds no URL of Redis: ")
    assert "%2F for /" in text
    assert not any(part in text for part in ("pa/", "ss@", "'pa", "12", "70000"))
    with pytest.raises(HpcmlError) as caught:
        find_url({"HPCML_REDIS_URL": url})
    assert caught.value.__context__ is None, "a traceback shows that, with parts of the URL"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:pa%2Fss%40@host:6379/0", "host:6379"),
        ("redis://host", "host:6379"),
        ("unix:///run/me@here/redis.socket?db=1", "/run/me@here/redis.socket"),
        ("unix://me:secret@/run/redis", "/run/redis"),
        ("redis://[::1]:7000", "::1:7000"),
    ],
)
def test_urls_with_special_characters(url, shown):
    assert shown_address(find_url({"HPCML_REDIS_URL": url})) == shown
