"""`python -m evaluate_suite tables`: the paper's Tables II, III and IV, ours beside the paper's numbers."""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .tables.assembly import assemble
from .tables.corpora import CORPORA, given_corpora
from .tables.output import write_tables
from .tables.paper import TABLES, Table
from .tables.plan import ROOT, Plan, make_plan, recipe_files
from .tables.runner import FAILED, Runner, Store, available_cores, changed_cells, claimed, is_done, shown_command

RECIPES = "convirt,gloria,gloria_original,prd_without_local,prd"
_TABLES = ",".join(table.name for table in TABLES)
_FOLDERS = {"small": ROOT / "recipes" / "small", "paper": ROOT / "recipes"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    corpora = "; ".join(f"{name}: {what}" for name, what in CORPORA.items())
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="of data, runs, results and tables; a call goes on"
    )
    parser.add_argument(
        "--scale", choices=sorted(_FOLDERS), default="small", help="whose recipes, and what is missing"
    )
    parser.add_argument("--recipes", default=RECIPES, metavar="A,B", help=f"names or .yaml files ({RECIPES})")
    parser.add_argument("--data", nargs="+", action="extend", default=[], metavar="NAME=DIR_OR_ID", help=corpora)
    parser.add_argument("--tables", default=_TABLES, metavar="II,III", help=f"which of them ({_TABLES})")
    parser.add_argument("--seeds", default="0,1,2", metavar="K,L", help="of training and fine-tuning (0,1,2)")
    parser.add_argument("--finetuning", type=Path, metavar="DIR", help="of nli.yaml and chexpert.yaml; the scale's")
    parser.add_argument("--jobs", type=int, metavar="N", help="rows at once; small: one a core, at most 2; paper: 1")
    parser.add_argument("--redo_changed", action="store_true", help="do cells whose settings changed again")
    parser.add_argument("--dry_run", action="store_true", help="print what would be run, and run nothing")


def run(args: argparse.Namespace) -> int:
    """Do what is not done, write the tables, and print where they lie.

    Returns:
        0, 1 where a cell failed, or 130 where the run was interrupted.

    Raises:
        ValueError: a recipe, a corpus or a seed is not one, or a cell was begun with other settings.
        OSError: something cannot be written.
    """
    out = Path(args.out).resolve()
    plan = _plan(args, out)
    store = Store(out)
    changed = changed_cells(plan, store)
    if args.dry_run:
        _print_plan(plan, store, changed, out)
        return 0
    with claimed(out) as lock:
        if changed and not args.redo_changed:
            name, what = next(iter(changed.items()))
            more = f", and so were {len(changed) - 1} more" if len(changed) > 1 else ""
            raise ValueError(
                f"{name} was begun with other settings ({what}){more}: set it back, choose another --out, or say "
                "--redo_changed"
            )
        for cell in plan.cells:
            if cell.name in changed:
                print(f"{cell.name}: done again, {changed[cell.name]}")
                store.forget(cell)
        runner = Runner(plan, out, args.jobs or _default_jobs(args.scale), lock)
        try:
            with _ended_by_signal():
                results = runner.run()
        except KeyboardInterrupt:
            write_tables(assemble(plan, runner.so_far()), out)
            print(f"stopped; {out / 'tables.md'} has what was done, and the same call goes on", file=sys.stderr)
            return 128 + signal.SIGINT
        write_tables(assemble(plan, results), out)
    failed = [name for name, result in results.items() if result["status"] == FAILED]
    print(out / "tables.md")
    for name in failed:
        print(f"failed: {name}: {results[name]['error']}")
    return 1 if failed else 0


def _plan(args: argparse.Namespace, out: Path) -> Plan:
    if args.jobs is not None and args.jobs < 1:
        raise ValueError(f"jobs: {args.jobs} is below 1")
    folder = _FOLDERS[args.scale]
    names = [name.strip() for name in args.recipes.split(",")]
    files = recipe_files(names, folder)
    finetuning = args.finetuning or folder / "finetune"
    seeds, tables = _seeds(args.seeds), _tables(args.tables)
    return make_plan(files, finetuning, given_corpora(args.data), seeds, args.scale, out, tables)


def _tables(given: str) -> list[Table]:
    names = [name.strip() for name in given.split(",")]
    known = [table.name for table in TABLES]
    for name in names:
        if name not in known:
            raise ValueError(f"tables: {name!r} is none of {', '.join(known)}")
    return [table for table in TABLES if table.name in names]


def _seeds(given: str) -> list[int]:
    seeds: list[int] = []
    for name in given.split(","):
        name = name.strip()
        if not name.isdecimal() or int(name) >= 2**32:
            raise ValueError(f"seeds: {name!r} is no whole number below 2**32; give them as 0,1,2")
        if int(name) in seeds:
            raise ValueError(f"seeds: {int(name)} stands twice")
        seeds.append(int(name))
    return seeds


def _default_jobs(scale: str) -> int:
    return min(2, available_cores()) if scale == "small" else 1


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    # A polite kill ends what was started, as Ctrl-C does.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(signum: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _print_plan(plan: Plan, store: Store, changed: dict[str, str], out: Path) -> None:
    for cell in plan.cells:
        if cell.missing is not None:
            print(f"{cell.name}: not run: {cell.missing}")
            continue
        state = "done" if is_done(cell, store.read(cell)) else "to do"
        if cell.name in changed:
            state = f"changed, {changed[cell.name]}"
        print(f"{cell.name}: {state}\n    {shown_command(cell, out)}")
