"""Key pair of a run of engine scoop: a private file, refused where it is incomplete."""

import stat

import pytest

from hpcml.engines.nodes.curve import create_keys, read_keys
from hpcml.errors import HpcmlError


def test_a_written_pair_is_read_again(tmp_path):
    path = tmp_path / "curve.key"
    keys = create_keys(path)
    assert read_keys(path) == keys
    assert len(keys.public) == len(keys.secret) == 40
    assert keys.public != keys.secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_each_run_has_a_pair_of_its_own(tmp_path):
    assert create_keys(tmp_path / "one") != create_keys(tmp_path / "two")
    with pytest.raises(FileExistsError):
        create_keys(tmp_path / "one")


@pytest.mark.parametrize("content", [b"", b"x" * 40, b"x" * 40 + b"\n" + b"y" * 39])
def test_an_incomplete_pair_is_refused(tmp_path, content):
    path = tmp_path / "curve.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(HpcmlError, match="is no key pair: start the run again"):
        read_keys(path)


def test_a_missing_or_open_file_is_refused_with_advice(tmp_path):
    with pytest.raises(HpcmlError, match="--run-dir="):
        read_keys(tmp_path / "none")
    create_keys(tmp_path / "curve.key")
    (tmp_path / "curve.key").chmod(0o644)
    with pytest.raises(HpcmlError, match="open to other users"):
        read_keys(tmp_path / "curve.key")
