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


def _spelt_out(arguments: Sequence[str]) -> Iterator[str]:
    pending = iter(arguments)
    for argument in pending:
        flag, given, file = argument.partition("=")
        if flag != "--config" or not (file := file if given else next(pending, "")):
            yield argument
        else:
            yield from _chain(Path(file), ())


def _chain(file: Path, extended_by: tuple[Path, ...]) -> Iterator[str]:
    keys = _read_keys(file)
    if _EXTENDS not in keys:
        yield from ("--config", str(file))
        return
    base = file.parent / str(keys.pop(_EXTENDS))
    if base in (file, *extended_by):
        raise ValueError(f"extends: {file} extends itself by way of {base}; name another file")
    if not base.is_file():
        raise ValueError(f"extends: {file} names {base}, which is not there; paths are relative to the file")
    yield from _chain(base, (file, *extended_by))
    for key, value in keys.items():
        yield f"--{key}={value if isinstance(value, str) else json.dumps(value)}"


def _read_keys(file: Path) -> dict[str, Any]:
    """The keys of a file; none where it cannot be read as keys, which the parser then says."""
    try:
        keys = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return keys if isinstance(keys, dict) else {}
