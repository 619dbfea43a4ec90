"""Archive of an environment: what is copied, what is a link, and when it is the same."""

import io
import os
import subprocess
import sys
import tarfile

import pytest

from hpcml.data.staging.environment import PLACE, Python, entries, fingerprint, this_python, write_archive


@pytest.fixture
def python(tmp_path):
    """A Python, and an environment made with it in the directory of a project."""
    for name in (
        "base/bin/python3.11", "base/bin/tool", "base/include/Python.h", "base/lib/libpython3.11.so.1.0",
        "base/lib/libother.so", "base/lib/python3.11/os.py", "base/lib/python3.11/lib-dynload/math.so",
        "base/lib/python3.11/test/test_os.py", "base/lib/python3.11/site-packages/theirs.py",
        "project/script.py", "project/data/large", "project/bin/pip", "project/share/doc",
        "project/lib/python3.11/site-packages/library/__init__.py",
    ):  # fmt: skip
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    project = tmp_path / "project"
    (project / "pyvenv.cfg").write_text(f"home = {tmp_path}/base/bin\nversion = 3.11.7\n")
    (tmp_path / "base/bin/python3").symlink_to("python3.11")
    (project / "bin/python3").symlink_to(tmp_path / "base/bin/python3")
    (project / "bin/python").symlink_to("python3")
    (project / "lib64").symlink_to("lib")
    (project / "lib/python3.11/site-packages/linked").symlink_to("../../../../elsewhere")
    return Python(f"{project}/bin/python", str(project), f"{tmp_path}/base")


def content(python):
    """Return what the archive holds: the text of a file, "-> target" of a link, None of a directory."""
    file = io.BytesIO()
    write_archive(file, list(entries(python)), python)
    file.seek(0)
    found = {}
    with tarfile.open(fileobj=file) as archive:
        for member in archive:
            text = archive.extractfile(member).read().decode() if member.isreg() else None
            found[member.name] = f"-> {member.linkname}" if member.issym() else text
    return found


def test_programs_and_libraries_are_copied_and_all_else_is_a_link(python, tmp_path):
    found = content(python)
    assert found["env/lib/python3.11/site-packages/library/__init__.py"].startswith("project/lib")
    assert found["env/share/doc"] == "project/share/doc"
    assert found["base/lib/python3.11/lib-dynload/math.so"].startswith("base/lib")
    assert found["base/lib/libpython3.11.so.1.0"].startswith("base/lib")
    assert found["base/lib/python3.11"] is None
    for name in ("base/include", "base/bin/tool", "base/lib/libother.so", "base/lib/python3.11/test",
                 "base/lib/python3.11/site-packages"):  # fmt: skip
        assert found[name] == f"-> {tmp_path}/{name}"
    assert found["env/script.py"] == f"-> {tmp_path}/project/script.py"
    assert found["env/data"] == f"-> {tmp_path}/project/data"
    assert not any(name.startswith("env/data/") for name in found)


def test_links_name_what_is_in_the_archive_and_else_the_original(python, tmp_path):
    found = content(python)
    assert found["env/bin/python"] == "-> python3"
    assert found["env/bin/python3"] == "-> ../../base/bin/python3"
    assert found["base/bin/python3"] == "-> python3.11"
    assert found["env/lib64"] == "-> lib"
    assert found["env/lib/python3.11/site-packages/linked"] == f"-> {tmp_path}/elsewhere"


def test_the_settings_name_the_interpreter_of_the_archive(python, tmp_path):
    assert content(python)["env/pyvenv.cfg"] == f"home = {PLACE}/base/bin\nversion = 3.11.7\n"
    assert python.in_archive == "env/bin/python"


def test_a_python_that_each_node_has_is_not_in_the_archive(python):
    found = content(python._replace(base_prefix="/usr"))
    assert {name.split("/")[0] for name in found} == {"env"}
    assert found["env/bin/python3"].endswith("base/bin/python3")
    assert PLACE not in found["env/pyvenv.cfg"]


def test_a_file_that_cannot_be_read_and_a_pipe_do_no_harm(python, tmp_path, monkeypatch):
    secret = tmp_path / "project/share/secret"
    secret.touch()
    os.mkfifo(tmp_path / "project/share/pipe")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(secret) and access(path, mode))
    found = content(python)
    assert found["env/share/secret"] == f"-> {secret}"
    assert "env/share/pipe" not in found


def test_the_fingerprint_changes_with_files_and_not_with_bytecode(python, tmp_path):
    first = fingerprint(list(entries(python)))
    library = tmp_path / "project/lib/python3.11/site-packages/library"
    (library / "__pycache__").mkdir()
    (library / "__pycache__/__init__.cpython-311.pyc").touch()
    assert fingerprint(list(entries(python))) == first
    (library / "without_source.pyc").touch()
    first, former = fingerprint(list(entries(python))), first
    assert first != former
    before = os.stat(library / "__init__.py")
    (library / "__init__.py").write_text("changed".ljust(before.st_size))
    os.utime(library / "__init__.py", ns=(before.st_atime_ns, before.st_mtime_ns))  # as `cp -p` does
    assert fingerprint(list(entries(python))) != first


def test_a_copy_of_a_real_environment_runs_there(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "small"], check=True)
    executable = str(tmp_path / "small/bin/python")
    python = Python(executable, str(tmp_path / "small"), sys.base_prefix)
    with open(tmp_path / "archive", "wb") as file:
        write_archive(file, list(entries(python)), python)
    place = tmp_path / "place"
    with tarfile.open(tmp_path / "archive") as archive:
        archive.extractall(place, filter="fully_trusted")
    settings = place / "env/pyvenv.cfg"
    settings.write_text(settings.read_text().replace(PLACE, str(place)))
    code = "import sys, ssl, multiprocessing; print(sys.prefix, sys.base_prefix, sys.executable, ssl.__file__)"
    done = subprocess.run([place / python.in_archive, "-c", code], capture_output=True, text=True, check=True)
    prefix, base, started, module = done.stdout.split()
    assert (prefix, started) == (f"{place}/env", f"{place}/env/bin/python")
    if sys.base_prefix != "/usr":
        assert base == f"{place}/base"
        assert module.startswith(base)


def test_the_systems_python_has_nothing_to_send(monkeypatch):
    assert this_python() is not None or sys.prefix == "/usr"
    monkeypatch.setattr(sys, "prefix", "/usr")
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert this_python() is None
