"""Command lines of dataclasses: a YAML file by `--config`, flags over it, and one line for what is wrong."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

from .recipe_files import with_bases


class CommandParser(ArgumentParser):
    """Adds the nearest known name to the message on an unknown key or flag, and keeps every message on one line."""

    known: tuple[str, ...] = ()

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Ends the process with status 2 and one line."""
        message = " ".join(message.split())
        unknown = re.search(r"(?:option|arguments:) '?-{0,2}([\w.]+)'?", message, re.IGNORECASE)
        nearest = difflib.get_close_matches(unknown.group(1), self.known, n=2, cutoff=0.7) if unknown else []
        hint = f"; did you mean {' or '.join(nearest)}?" if nearest else ""
        self.exit(2, f"error: {message}{hint}\n")
        raise SystemExit(2)


def parse_sections(
    arguments: Sequence[str], sections: Mapping[str, type], *, prog: str, description: str
) -> dict[str, Any]:
    """Reads the keys of several dataclasses, which stand flat on the command line and in the file.

    Args:
        arguments: the command line without the program's name; a file may extend another (`recipe_files.with_bases`).
        sections: dataclasses by the names under which they are returned.
        prog, description: for `--help`.

    Returns:
        an instance of each dataclass.

    Raises:
        SystemExit: with status 2 and one line that names the key, after an unknown or ill-typed key or flag.
        ValueError: a file that another extends is missing, or extends itself.
    """
    parser = CommandParser(prog=prog, description=description, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="a YAML file of keys, such as those in recipes/")
    for section in sections.values():
        parser.add_class_arguments(section, None)
    parser.known = tuple(_names(sections.values()))
    instantiated = parser.instantiate(parser.parse_args(with_bases(arguments)))
    return {
        name: section(**{key.name: getattr(instantiated, key.name) for key in fields(section)})
        for name, section in sections.items()
    }


def listed(value: Sequence[str | int] | str) -> list[str]:
    """A list of names or numbers as a YAML file has it, or as a flag has it, with commas: `--seeds 0,1,2`."""
    names = value.split(",") if isinstance(value, str) else value
    return [str(name).strip() for name in names]


def _names(sections: Any) -> list[str]:
    names = []
    for section in sections:
        for key in fields(section):
            names.append(key.name)
            if is_dataclass(key.type):
                names += [f"{key.name}.{inner.name}" for inner in fields(key.type)]
    return names
