"""Results of a student, read without trust: a file may be hostile, and is data alone."""

import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Field", "NoResults", "flag", "number", "numbers", "read_results", "table", "text", "texts", "whole"]

LARGEST_FILE = 4 << 20  # bytes
LARGEST_LIST = 100_000
LONGEST_TEXT = 1000  # characters
LARGEST_NUMBER = 1e100  # products and sums of such numbers are finite


class NoResults(Exception):
    """The results cannot be read, or lack a field; the text says which, and what is expected."""


@dataclass(frozen=True)
class Field:
    """A field of results: its kind in words, the function that recognizes such values, and its meaning."""

    kind: str
    fits: Callable[[Any], bool]
    meaning: str


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER


def _is_list(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) <= LARGEST_LIST and all(map(fits, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT


def whole(meaning: str) -> Field:
    """Return a field that is a whole number of 0 or more."""
    return Field("a whole number", lambda value: type(value) is int and 0 <= value <= LARGEST_NUMBER, meaning)


def number(meaning: str) -> Field:
    """Return a field that is a finite number."""
    return Field("a number", _is_number, meaning)


def numbers(meaning: str) -> Field:
    """Return a field that is a list of finite numbers."""
    return Field("a list of numbers", lambda value: _is_list(value, _is_number), meaning)


def table(meaning: str) -> Field:
    """Return a field that is a list of lists of finite numbers."""
    return Field(
        "a list of lists of numbers",
        lambda value: _is_list(value, lambda row: _is_list(row, _is_number)),
        meaning,
    )


def text(meaning: str) -> Field:
    """Return a field that is a text."""
    return Field("a text", _is_text, meaning)


def texts(meaning: str) -> Field:
    """Return a field that is a list of texts."""
    return Field("a list of texts", lambda value: _is_list(value, _is_text), meaning)


def flag(meaning: str) -> Field:
    """Return a field that is true or false."""
    return Field("true or false", lambda value: isinstance(value, bool), meaning)


def read_results(path: Path, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return the results in a file, each field of its kind.

    Raises
    ------
    NoResults
        There is no such file, or it is not JSON with these fields.
    """
    try:
        found = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise NoResults(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise NoResults(f"{path} is not a JSON object with names and values")
    for name, field in fields.items():
        if name not in found:
            raise NoResults(f"{path} has no {name}: {field.kind}, {field.meaning}")
        if not field.fits(found[name]):
            raise NoResults(f"{name} in {path} is not {field.kind}: {field.meaning}")
    return {name: found[name] for name in fields}


def _read(path: Path) -> str:
    """Return the content of a file; no pipe, link or device is read, and no large file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise NoResults(f"{path} cannot be read: {error.strerror}") from error
    with open(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST_FILE:
            raise NoResults(f"{path} is not a file of up to {LARGEST_FILE >> 20} MB")
        return file.read(LARGEST_FILE).decode(errors="replace")
