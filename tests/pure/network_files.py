"""Imitation of a bad NFS: locks and O_APPEND do not work, answers are late, lost or given twice."""

import errno
import fcntl
import os
import pathlib


def error(number, path=None):
    return OSError(number, os.strerror(number), path)


class NetworkFiles:
    """Replaces functions of `os`; ``link`` is the outcome of link(2): "done", "lost", "exists" or "refused"."""

    def __init__(self, monkeypatch, directory):
        self.link = "done"
        self.names_are_stale = False
        self.linked = 0
        self._directory = str(directory)
        self._opened = set()
        self._real = {name: getattr(os, name) for name in ("open", "link", "replace", "stat", "fstat", "lstat")}
        for name in ("open", "link", "replace", "stat", "fstat", "lstat"):
            monkeypatch.setattr(os, name, getattr(self, f"_{name}"))
        for name in ("flock", "lockf", "fcntl"):
            monkeypatch.setattr(fcntl, name, self._no_locks)
        for name in ("listdir", "scandir"):
            monkeypatch.setattr(os, name, self._no_listing)
        monkeypatch.setattr(pathlib.Path, "exists", self._exists())

    def _no_locks(self, *_):
        raise error(errno.ENOLCK)

    def _no_listing(self, *_):
        raise AssertionError("a directory is listed, which may be stale")

    def _open(self, path, flags, *args, **kwargs):
        if not str(path).startswith(self._directory):
            return self._real["open"](path, flags, *args, **kwargs)
        assert not flags & os.O_APPEND, "O_APPEND is not kept by NFS"
        if path not in self._opened and not flags & os.O_CREAT:
            self._opened.add(path)
            raise error(errno.ESTALE, str(path))
        self._opened.add(path)
        return self._real["open"](path, flags, *args, **kwargs)

    def _link(self, source, target, **kwargs):
        self.linked += 1
        if self.link == "refused":
            raise error(errno.EPERM, str(target))
        self._real["link"](source, target, **kwargs)
        if self.link == "lost":
            raise error(errno.EIO, str(target))
        if self.link == "exists":  # the call was repeated, and found the link of its first try
            raise error(errno.EEXIST, str(target))

    def _replace(self, source, target):
        self._real["replace"](source, target)

    def _past(self, found):
        """Return a stat result whose times are an hour early."""
        fields = list(found)
        fields[7:10] = [field - 3600 for field in fields[7:10]]
        return os.stat_result(fields)

    def _stat(self, *args, **kwargs):
        return self._past(self._real["stat"](*args, **kwargs))

    def _lstat(self, *args, **kwargs):
        return self._past(self._real["lstat"](*args, **kwargs))

    def _fstat(self, *args, **kwargs):
        return self._past(self._real["fstat"](*args, **kwargs))

    def _exists(self):
        real = pathlib.Path.exists

        def exists(path, **kwargs):
            stale = self.names_are_stale and path.name.startswith("lease-")
            return False if stale else real(path, **kwargs)

        return exists
