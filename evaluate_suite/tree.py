"""Walking through the tree of a report."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from .statistics import Measurement

SKIPPED = "skipped"
"""The key of what could not be computed: paths to reasons."""

CONTROLS: tuple[str, ...] = ("blind", "wrong_image", "gain_over_blind", "gain_over_wrong_image")
"""What a task may hold beside its numbers, to be read with them."""

Path = tuple[str, ...]


def is_measurement(node: Any) -> TypeGuard[Measurement]:
    """Whether a node is a number with its interval, chance and n; other keys may stand beside these."""
    return isinstance(node, Mapping) and set(Measurement.__annotations__) <= set(node)


def has_controls(tree: Mapping[str, Any]) -> bool:
    """Whether a task, or a part of one, has controls beside its numbers."""
    return any(is_measurement(tree.get(control)) for control in CONTROLS)


def is_test(tree: Mapping[str, Any]) -> bool:
    """Whether a task, or a part of one, was asked if it needs the image: its note then says what was found."""
    return has_controls(tree) or "needs_image" in tree


def node_at(tree: Mapping[str, Any], path: Path) -> Any:
    """What stands at a path; an empty mapping where nothing does."""
    node: Any = tree
    for key in path:
        node = node.get(key, {}) if isinstance(node, Mapping) else {}
    return node


def measurements(tree: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Measurement]]:
    """All numbers of a tree with their paths, in its order; a number comes before those that stand below it."""
    for key, node in tree.items():
        if is_measurement(node):
            yield (*path, key), node
        if isinstance(node, Mapping):
            yield from measurements(node, (*path, key))


def reasons(tree: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[str, str]]:
    """What is left out of a tree and why: the whole path with dots, and the reason."""
    for key, node in tree.items():
        if key == SKIPPED:
            for name, reason in node.items():
                # A task that is left out as a whole names itself.
                yield ".".join(path if (name,) == path else (*path, name)), reason
        elif isinstance(node, Mapping):
            yield from reasons(node, (*path, key))


def others(tree: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """All leaves that are no part of a measurement and no reason: counts, thresholds, flags, notes."""
    for key, node in tree.items():
        if key == SKIPPED or (is_measurement(tree) and key in Measurement.__annotations__):
            continue
        if isinstance(node, Mapping):
            yield from others(node, (*path, key))
        else:
            yield (*path, key), node
