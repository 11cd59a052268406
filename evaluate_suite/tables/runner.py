"""Running the cells: each in a process of its own, its result written as it ends, what is done not done again."""

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from datasets_scripts.output_files import writing

from .numbers import is_finished, read_numbers, read_synthetic
from .plan import DATA, ROOT, Cell, Plan, settings_with_needs

Result = dict[str, Any]
"""A cell's JSON: `row`, `step`, `seed`, `status` (`done`, `failed`; on disk alone, of one that runs or was killed,
`begun`; never on disk, `not run`), `settings`, `command`, `seconds` by the clock and `cpu_seconds`, `numbers`,
`skipped`, `synthetic` (of how many rows how many a program made, where it evaluated or fine-tuned), and the `error` or
the reason."""

DONE, FAILED, BEGUN, NOT_RUN = "done", "failed", "begun", "not run"
_SHOWN = 300  # letters of an error that are kept


class Store:
    """The results on disk, a file a cell.

    Args:
        out: the folder of everything.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out / "cells"

    def read(self, cell: Cell) -> Result | None:
        """What was written of a cell; None where nothing was.

        Raises:
            ValueError: the file is damaged.
        """
        file = self._file(cell)
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(f"{file} is damaged ({error}): delete it, and the cell is done again") from error

    def write(self, cell: Cell, result: Result) -> None:
        """Writes a cell's file whole or not at all."""
        file = self._file(cell)
        with writing(file):
            self.folder.mkdir(parents=True, exist_ok=True)
            part = file.with_name(f".{file.name}.part")
            part.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
            os.replace(part, file)

    def forget(self, cell: Cell) -> None:
        """Deletes a cell's result and what its process wrote."""
        self._file(cell).unlink(missing_ok=True)
        shutil.rmtree(cell.folder, ignore_errors=True)

    def _file(self, cell: Cell) -> Path:
        return self.folder / f"{cell.name}.json"


def changed_cells(plan: Plan, store: Store) -> dict[str, str]:
    """Cells that were begun with other settings, ended or not, and what differs.

    What one that was killed has left, such as checkpoints, its programs would go on with.
    """
    by_name = {cell.name: cell for cell in plan.cells}
    changed = {}
    for cell in plan.cells:
        result = store.read(cell)
        if result is None or cell.missing is not None:
            continue
        before, now = result["settings"], settings_with_needs(cell, by_name)
        differing = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        if differing:
            key = differing[0]
            changed[cell.name] = f"{key} was {before.get(key)!r} and is {now.get(key)!r}"
    return changed


def is_done(cell: Cell, result: Result | None) -> bool:
    """Whether a cell need not be run."""
    return result is not None and result["status"] == DONE and is_finished(cell.step, cell.folder)


def shown_command(cell: Cell, out: Path) -> str:
    """A cell's command line as it would be typed in the folder of the project."""
    words = ["python", *cell.command[1:]]
    return shlex.join(words).replace(f"{out}/", "OUT/").replace(f"{ROOT}/", "")


@contextlib.contextmanager
def claimed(out: Path) -> Iterator[TextIO]:
    """Keeps a second run off the folder for as long as this one or a process of its lives.

    Raises:
        ValueError: another one has it.
        OSError: the folder cannot be written to.
    """
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        file = (out / ".lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"{out} is in use by another run, or by what it started: wait for it to end") from error
        yield file


class Runner:
    """Runs a plan.

    Args:
        plan: what is to be done.
        out: the folder of everything.
        jobs: chains that run at once.
        lock: of `claimed`; the processes inherit it.
    """

    def __init__(self, plan: Plan, out: Path, jobs: int, lock: TextIO) -> None:
        self.plan, self.out, self.jobs, self.lock = plan, out, jobs, lock
        self.store = Store(out)
        self.by_name = {cell.name: cell for cell in plan.cells}
        self.results: dict[str, Result] = {}
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()
        self._stopped = False

    def run(self) -> dict[str, Result]:
        """Runs what is not done, and gives every cell's result by its name.

        Raises:
            KeyboardInterrupt: it was interrupted, and has ended what it started; `so_far` has what was done.
        """
        data = [cell for cell in self.plan.cells if cell.row == DATA]
        others = [cell for cell in self.plan.cells if cell.row != DATA]
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                for cells in (data, others):
                    ordered = sorted(cells, key=lambda cell: self._first_place(cell, cells))
                    chains = [list(chain) for _, chain in groupby(ordered, key=lambda cell: cell.chain)]
                    for future in [pool.submit(self._run_chain, chain) for chain in chains]:
                        future.result()
            except BaseException:
                self._stop()
                raise
        return self.so_far()

    def so_far(self) -> dict[str, Result]:
        """Every cell's result by its name; one that was not reached is `not run`, unless it was done before."""
        return {cell.name: self.results.get(cell.name) or self._unreached(cell) for cell in self.plan.cells}

    def _unreached(self, cell: Cell) -> Result:
        before = None if cell.missing is not None else self.store.read(cell)
        if before is not None and is_done(cell, before):
            return before
        return self._not_run(cell, cell.missing or "the run was stopped before it ended")

    @staticmethod
    def _first_place(cell: Cell, cells: list[Cell]) -> int:
        return next(place for place, each in enumerate(cells) if each.chain == cell.chain)

    def _run_chain(self, cells: list[Cell]) -> None:
        for cell in cells:
            if self._stopped:
                return
            result = self._result(cell)
            if not self._stopped:
                self.results[cell.name] = result

    def _result(self, cell: Cell) -> Result:
        if cell.missing is not None:
            return self._not_run(cell, cell.missing)
        before = self.store.read(cell)
        if before is not None and is_done(cell, before):
            self._say(f"{cell.name}: done before")
            return before
        broken = [name for name in cell.needs if self.results[name]["status"] != DONE]
        if broken:
            reason = f"needs {broken[0]}, which {_ended(self.results[broken[0]])}"
            self._say(f"{cell.name}: not run, it {reason}")
            return self._not_run(cell, reason)
        self._say(f"{cell.name}: begins")
        self.store.write(cell, self._described(cell, BEGUN))
        result = self._run_cell(cell)
        if not self._stopped:
            self.store.write(cell, result)
            told = result["error"] if result["status"] == FAILED else f"{result['seconds']:.0f} s"
            self._say(f"{cell.name}: {result['status']}, {told}")
        return result

    def _run_cell(self, cell: Cell) -> Result:
        log = self.out / "logs" / f"{cell.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        with log.open("wb") as file:
            process = self._start(cell, file)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        with self._guard:
            self._processes.discard(process)
        result = self._described(cell, DONE) | {
            "seconds": round(time.perf_counter() - started, 1),
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        }
        if process.returncode == 0:
            try:
                result["numbers"], result["skipped"] = read_numbers(cell.step, cell.folder)
                result["synthetic"] = read_synthetic(cell.step, cell.folder)
            except ValueError as error:
                return result | {"status": FAILED, "error": str(error)}
            return result
        return result | {"status": FAILED, "error": last_error(log, process.returncode)}

    def _start(self, cell: Cell, log: Any) -> subprocess.Popen[bytes]:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        quiet = {"TQDM_DISABLE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
        # Threads that outnumber the cores wait for each other: what runs at once shares them.
        threads = {"OMP_NUM_THREADS": str(max(1, available_cores() // self.jobs))} if self.jobs > 1 else {}
        environment = threads | os.environ | quiet | {"PYTHONPATH": os.pathsep.join(paths)}
        with self._guard:
            process = subprocess.Popen(
                cell.command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # so that what it starts ends with it
                pass_fds=(self.lock.fileno(),),
            )
            self._processes.add(process)
            if self._stopped:
                _end(process)
        return process

    def _stop(self) -> None:
        self._stopped = True
        with self._guard:
            for process in self._processes:
                _end(process)

    def _described(self, cell: Cell, status: str) -> Result:
        return {
            "row": cell.row,
            "step": cell.step,
            "seed": cell.seed,
            "status": status,
            "settings": settings_with_needs(cell, self.by_name),
            "command": shown_command(cell, self.out),
            "numbers": {},
            "skipped": {},
            "synthetic": None,
        }

    def _not_run(self, cell: Cell, reason: str) -> Result:
        return self._described(cell, NOT_RUN) | {"error": reason}

    def _say(self, line: str) -> None:
        with self._guard:
            print(line, file=sys.stderr, flush=True)


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)


def last_error(log: Path, status: int) -> str:
    """What a failed process said last: its line that starts with `error:`, or its last line."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error:")] or lines
    ended = f"ended by signal {-status}" if status < 0 else f"status {status}"
    return f"{errors[-1][:_SHOWN]} ({ended})" if errors else f"it said nothing ({ended})"


def _ended(result: Mapping[str, Any]) -> str:
    return "failed" if result["status"] == FAILED else "was not run"
