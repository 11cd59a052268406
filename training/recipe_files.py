"""Recipe files that extend another: `extends: FILE` takes that file's keys, and the file's own stand over them."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

_EXTENDS = "extends"


def with_bases(arguments: Sequence[str]) -> list[str]:
    """A command line in which each `--config` file that extends another is that file, and its own keys as flags.

    A key with keys of its own, such as `augmentation`, replaces the other file's whole.

    Args:
        arguments: the command line without the program's name.

    Raises:
        ValueError: a file extends itself, or `extends` names no file.
    """
    return list(_spelt_out(arguments))


def recipe_keys(file: Path) -> dict[str, Any]:
    """The keys that a recipe file sets, those of the files that it extends included.

    Raises:
        ValueError: there is no such file, it sets no keys, or as `with_bases`.
    """
    if not file.is_file():
        raise ValueError(f"no recipe at {file}")
    keys = {key: value for _, own in _files(file, ()) for key, value in own.items()}
    if not keys:
        raise ValueError(f"{file} is no recipe: it sets no keys")
    return keys


def _spelt_out(arguments: Sequence[str]) -> Iterator[str]:
    pending = iter(arguments)
    for argument in pending:
        flag, given, file = argument.partition("=")
        if flag != "--config" or not (file := file if given else next(pending, "")):
            yield argument
        else:
            yield from _chain(Path(file))


def _chain(file: Path) -> Iterator[str]:
    (base, _), *extending = _files(file, ())
    yield from ("--config", str(base))
    for _, keys in extending:
        for key, value in keys.items():
            yield f"--{key}={value if isinstance(value, str) else json.dumps(value)}"


def _files(file: Path, extended_by: tuple[Path, ...]) -> list[tuple[Path, dict[str, Any]]]:
    """The file and those it extends, with their own keys, the first base first."""
    keys = _read_keys(file)
    if _EXTENDS not in keys:
        return [(file, keys)]
    base = file.parent / str(keys.pop(_EXTENDS))
    if base in (file, *extended_by):
        raise ValueError(f"extends: {file} extends itself by way of {base}; name another file")
    if not base.is_file():
        raise ValueError(f"extends: {file} names {base}, which is not there; paths are relative to the file")
    return [*_files(base, (file, *extended_by)), (file, keys)]


def _read_keys(file: Path) -> dict[str, Any]:
    """The keys of a file; none where it cannot be read as keys, which the parser then says."""
    try:
        keys = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return keys if isinstance(keys, dict) else {}
