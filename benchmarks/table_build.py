"""A large build of the table builder: how long, how much memory, and whether a killed one ends with the same bytes.

    python -m benchmarks.table_build --openi NLMCXR_reports.tgz --reports 200000 --kill_after 240 240

The table holds distinct reports made of the words of Open-I (`perturbations.recombine`), beside a few tiny grey
images: what is measured is text, shards and memory, not the decoding of radiographs (`image_loading` measures that).
One build runs to its end. Another is killed with SIGKILL after each of the given seconds and started again each time;
then the two folders are compared byte by byte.
"""

import argparse
import csv
import filecmp
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from datasets_scripts.openi_reports import read_reports
from datasets_scripts.perturbations import normalize_report

from .perturbations import recombine

_IMAGES = 10


def write_table(folder: Path, openi: Path, reports: int) -> Path:
    """A CSV file of so many distinct reports, and ten images of 32 x 32 pixels, each of one grey, that they share."""
    for number in range(_IMAGES):
        Image.new("L", (32, 32), 20 * number + 20).save(folder / f"{number}.png")
    texts = [text for report in read_reports(openi) if (text := normalize_report(report.findings))]
    path = folder / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "report"])
        for number, text in enumerate(recombine(list(dict.fromkeys(texts)), reports)):
            writer.writerow([f"{number % _IMAGES}.png", text])
    return path


def start_build(table: Path, out: Path, num_proc: int) -> "subprocess.Popen[bytes]":
    """Start `build table` on the table in a process of its own."""
    command = [sys.executable, "-m", "datasets_scripts", "build", "table", "--table", table, "--out", out]
    columns = ["--image_column", "image", "--report_column", "report", "--image_root", table.parent, "--synthetic"]
    arguments = [*command, *columns, "--num_proc", str(num_proc)]
    return subprocess.Popen(list(map(str, arguments)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measure_whole(table: Path, out: Path, num_proc: int) -> dict[str, float]:
    """A build that runs to its end: `seconds`, and `peak_memory_mb` of the largest process that ran so far."""
    start = time.perf_counter()
    if status := start_build(table, out, num_proc).wait():
        raise RuntimeError(f"the build ended with status {status}")
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, KiB elsewhere
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    return {"seconds": time.perf_counter() - start, "peak_memory_mb": peak}


def build_killed(table: Path, out: Path, num_proc: int, kill_after: Sequence[float]) -> list[int]:
    """Kill a build after each of the seconds, start it again each time, and let the last one end.

    Returns:
        The finished shards that each kill left.

    Raises:
        RuntimeError: a build ended before it was killed, or the last one failed.
    """
    left = []
    for seconds in kill_after:
        build = start_build(table, out, num_proc)
        try:
            build.wait(seconds)
        except subprocess.TimeoutExpired:
            build.send_signal(signal.SIGKILL)
            build.wait()
        else:
            raise RuntimeError(f"the build ended within {seconds} s: kill it earlier, or give it more reports")
        left.append(len(list(out.with_name(f".{out.name}.partial").glob("whole/data/*.parquet"))))
    if status := start_build(table, out, num_proc).wait():
        raise RuntimeError(f"the last build ended with status {status}")
    return left


def are_equal(first: Path, second: Path) -> bool:
    """Whether two folders hold the same files with the same bytes."""
    names = [{path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} for folder in (first, second)]
    return names[0] == names[1] and all(filecmp.cmp(first / name, second / name, shallow=False) for name in names[0])


def measure(openi: Path, reports: int, kill_after: Sequence[float], num_proc: int, folder: Path) -> dict[str, Any]:
    """`reports`, `seconds`, `peak_memory_mb`, `shards_left` by each kill, and whether they are `equal`."""
    table = write_table(folder, openi, reports)
    results: dict[str, Any] = {"reports": reports, **measure_whole(table, folder / "whole", num_proc)}
    if kill_after:
        results["shards_left"] = build_killed(table, folder / "killed", num_proc, kill_after)
        results["equal"] = are_equal(folder / "whole", folder / "killed")
    return results


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table_build", description=__doc__)
    parser.add_argument("--openi", type=Path, required=True, help="NLMCXR_reports.tgz, or a folder with its XML files")
    parser.add_argument("--reports", type=int, default=200_000, help="distinct reports (default: %(default)s)")
    parser.add_argument(
        "--kill_after", type=float, nargs="*", default=[], help="seconds after which a second build is killed, each"
    )
    parser.add_argument("--num_proc", type=int, default=1, help="processes that tag (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory() as folder:
            results = measure(args.openi, args.reports, args.kill_after, args.num_proc, Path(folder))
    except (ValueError, OSError, RuntimeError) as error:
        parser.error(str(error))
    rate = args.reports / results["seconds"]
    print(
        f"{args.reports:,} pairs built in {results['seconds']:.0f} s, {rate:.0f} a second;"
        f" peak memory {results['peak_memory_mb']:,.0f} MB"
    )
    if args.kill_after:
        shards = ", ".join(map(str, results["shards_left"]))
        same = "the same bytes" if results["equal"] else "OTHER bytes"
        print(f"killed after {shards} finished shards, then ended with {same}")
    if args.json is not None:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
