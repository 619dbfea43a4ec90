"""Address of a Redis server, with its password: from the environment or a private file, and no command line."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from hpcml.errors import HpcmlError
from hpcml.journal.private_files import read_private

__all__ = ["VARIABLE", "find_url", "shown_address"]

VARIABLE = "HPCML_REDIS_URL"
SCHEMES = ("redis", "rediss", "unix")


def find_url(environment: Mapping[str, str], file: Path | None = None) -> str:
    """Return the URL of Redis: the first line of a file of mode 0600, or the variable HPCML_REDIS_URL.

    Raises
    ------
    HpcmlError
        There is neither, the file is open to others, or it is no URL of Redis. No message has the URL in it.

    Examples
    --------
    >>> from hpcml.serving.redis_url import find_url
    >>> find_url({"HPCML_REDIS_URL": "rediss://:secret@queue:6380/0"})
    'rediss://:secret@queue:6380/0'
    """
    where = f"the variable {VARIABLE}" if file is None else str(file)
    if file is not None:
        url = read_private(file).decode(errors="replace").strip()
    elif VARIABLE in environment:
        url = environment[VARIABLE].strip()
    else:
        raise HpcmlError(
            f"no URL of Redis: set {VARIABLE}, as in  export {VARIABLE}=redis://localhost:6379/0 , or name a file "
            "of mode 0600 that holds the URL with --redis-file"
        )
    if not url.lower().startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
        raise HpcmlError(f"{where} holds no URL of Redis: it begins with redis://, rediss:// (TLS) or unix://")
    if problem := _problem(url):
        raise HpcmlError(
            f"{where} holds no URL of Redis: {problem}. Special characters of a password are written as "
            "%2F for /, %40 for @, %3A for :, %23 for #, %3F for ? and %25 for %"
        )
    return url


def _problem(url: str) -> str:
    """Return the error of a URL, without any part of the URL: each may be one of a password."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018
    except ValueError:
        return "the port is no number from 0 to 65535, or there are characters that no URL has"
    if parts.scheme == "unix":
        return "the path does not follow unix:// or an @" if parts.netloc.rpartition("@")[2] else ""
    return "an @ is behind the host" if "@" in parts.path + parts.query + parts.fragment else ""


def shown_address(url: str) -> str:
    """Return the host and port, or the socket, of a URL, without name and password.

    Examples
    --------
    >>> from hpcml.serving.redis_url import shown_address
    >>> shown_address("rediss://me:secret@queue:6380/0?ssl_ca_certs=ca.pem"), shown_address("unix:///run/redis")
    ('queue:6380', '/run/redis')
    """
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
