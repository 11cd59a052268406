"""The folder of a report: written whole or not at all, read again for comparison."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from datasets_scripts.output_files import writing

from .context import Outcomes, Picture, Tree
from .figures import save
from .report import markdown

REPORT, PAGE, OUTCOMES, FIGURES = "report.json", "report.md", "outcomes.parquet", "figures"


def check_folder(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that the report cannot have.

    Raises:
        ValueError: it is a file, holds something else than a report, or a report that is not to be replaced.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise ValueError(f"{out} is a file: --out names a folder")
    found = {each.name for each in out.iterdir()}
    foreign = sorted(found - {REPORT, PAGE, OUTCOMES, FIGURES})
    if foreign or (found and REPORT not in found):
        raise ValueError(f"{out} holds {', '.join(foreign or sorted(found))}: choose an empty or a new folder")
    if found and not overwrite:
        raise ValueError(f"{out} holds a report: choose another folder, or say --overwrite")


def write_report(out: Path, report: Tree, outcomes: Outcomes, pictures: Sequence[Picture]) -> None:
    """Write a report's folder; what stands there, a report by `check_folder`, is replaced at the end.

    Raises:
        OSError: something cannot be written; the message names the folder, which is as it was.
    """
    out = out.resolve()
    with writing(out), _beside(out) as folder:
        for picture in pictures:
            save(picture, folder / FIGURES)
        outcomes.to_parquet(folder / OUTCOMES)
        (folder / PAGE).write_text(markdown(report), encoding="utf-8")
        (folder / REPORT).write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        folder.chmod(0o755)  # a temporary folder lets nobody else in
        if out.exists():
            with _beside(out) as replaced:
                out.rename(replaced)  # an empty folder gives way
                folder.rename(out)
        else:
            folder.rename(out)


@contextmanager
def replaced_files(out: Path) -> Iterator[Path]:
    """A folder to write files into, which all go to `out` when all are written, over those of the same names there.

    Raises:
        OSError: something cannot be written; the message names `out`.
    """
    out = out.resolve()
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        with _beside(out) as folder:
            yield folder
            for file in folder.iterdir():
                file.replace(out / file.name)


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    # An empty folder on the same disk, gone at the end with what is still in it.
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_report(path: Path) -> tuple[Tree, Path]:
    """Read a report from its folder or from its `report.json`; gives it and its folder.

    Raises:
        ValueError: there is no report.
    """
    file = path / REPORT if path.is_dir() else path
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"no report at {path}: give a folder that `run --out` wrote") from error
    except ValueError as error:
        raise ValueError(f"{file} is no report: {error}") from error
    if not isinstance(report, dict) or not {"model", "data", "tasks", "fingerprint"} <= set(report):
        raise ValueError(f"{file} is no report of this suite")
    return report, file.parent
