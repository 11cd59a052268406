"""Two ways to compute the same, compared in one run: time, peak memory and results.

A benchmark states how a side is made (`Builder`); `compare` times both in turn and measures the peak memory of each in
a process of its own. A benchmark prints one line (`Comparison.line`) and writes one object (`write_json`).
"""

import argparse
import ctypes
import gc
import json
import math
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from operator import truediv
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

Side = Literal["ours", "peer"]
Run = Callable[[], list[Tensor]]
"""Computes a side's results once, on inputs that are there; call it again and it computes the same."""

Builder = Callable[[argparse.Namespace, Side, int], Run]
"""Makes the inputs of the batch with that seed and returns what runs a side on them. A function of a module's own, so
that a new process can import it; its forward pass is under `autocast`."""

_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


@dataclass(frozen=True)
class Comparison:
    """Medians over the batches; what needs a peer is None where there was none.

    Attributes:
        ratio: `peer_seconds` / `ours_seconds` of a batch.
        bound: what the ratio could be at most, or None where nothing bounds it.
        ours_seconds, peer_seconds: of one run, each the median of several.
        ours_peak_mb, peer_peak_mb: peak memory of one run in MB, less what was held before it, on the batch with the
            median bound; on the first where nothing bounds them.
        max_relative_difference: the largest of all results and batches: of two tensors, the largest difference over
            the largest absolute value of the peer's; not a number where a result is none.
    """

    ratio: float | None
    bound: float | None
    ours_seconds: float
    peer_seconds: float | None
    ours_peak_mb: float
    peer_peak_mb: float | None
    max_relative_difference: float | None

    def line(self) -> str:
        """Return all of it in one line."""
        if self.ratio is None or self.peer_peak_mb is None:
            return f"ours {self.ours_seconds:.3f} s, peak memory {self.ours_peak_mb:,.0f} MB; no peer"
        bound = "" if self.bound is None else f" ({self.ratio / self.bound:.0%} of the bound {self.bound:.2f})"
        memory = f"{self.ours_peak_mb:,.0f} MB, peer {self.peer_peak_mb:,.0f} MB"
        return (
            f"ratio {self.ratio:.2f}{bound}: ours {self.ours_seconds:.3f} s, peer {self.peer_seconds:.3f} s; "
            f"peak memory {memory} ({self.ours_peak_mb / self.peer_peak_mb:.0%}); "
            f"largest relative difference {self.max_relative_difference:.1e}"
        )


def compare(
    build: Builder,
    args: argparse.Namespace,
    bound: Callable[[argparse.Namespace, int], float] | None = None,
    before: Callable[[argparse.Namespace], argparse.Namespace] | None = None,
) -> Comparison:
    """Run both sides of a benchmark.

    Args:
        build: makes a side.
        args: the benchmark's flags, with those of `add_flags`; `without_peer` leaves the peer out.
        bound: the highest ratio that the batch with a seed allows.
        before: a smaller case of these flags, run once before time and memory are measured, so that what a first call
            loads is not counted; None runs each batch once before it is timed.
    """
    _prepare(args)
    sides: tuple[Side, ...] = ("ours",) if args.without_peer else ("ours", "peer")
    bounds = [bound(args, seed) for seed in range(args.batches)] if bound is not None else []
    typical = bounds.index(statistics.median_low(bounds)) if bounds else 0
    # First: afterwards this process holds what its largest batch took.
    peaks = {side: peak_memory_mb(build, args, side, before, typical) for side in sides}
    taken: dict[Side, list[float]] = {side: [] for side in sides}
    differences = []
    if before is not None:
        for side in sides:
            build(before(args), side, 0)()
    for seed in range(args.batches):
        runs = {side: build(args, side, seed) for side in sides}
        results: dict[Side, list[Tensor]] = {} if before is not None else {side: run() for side, run in runs.items()}
        timings: dict[Side, list[float]] = {side: [] for side in sides}
        for _ in range(args.repeats):
            for side, run in runs.items():
                found, taking = timed(run, args.device)
                timings[side].append(taking)
                results.setdefault(side, found)
                del found
        differences.append(relative_difference(results["ours"], results["peer"]) if "peer" in runs else 0.0)
        results.clear()
        for side in sides:
            taken[side].append(statistics.median(timings[side]))
        del runs
        gc.collect()
    with_peer = "peer" in sides
    return Comparison(
        ratio=statistics.median(map(truediv, taken["peer"], taken["ours"])) if with_peer else None,
        bound=statistics.median(bounds) if bounds else None,
        ours_seconds=statistics.median(taken["ours"]),
        peer_seconds=statistics.median(taken["peer"]) if with_peer else None,
        ours_peak_mb=peaks["ours"],
        peer_peak_mb=peaks.get("peer"),
        max_relative_difference=_largest(differences) if with_peer else None,
    )


def _prepare(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    if device.type == "cuda" and device.index is not None:  # else it is the current one
        torch.cuda.set_device(device)


def autocast(args: argparse.Namespace) -> torch.autocast:
    """Return the context of a side's forward pass, in which it computes by the flag `--precision`.

    Its backward pass is outside, as in training, where each operation has the precision of the forward pass.
    """
    return torch.autocast(torch.device(args.device).type, torch.bfloat16, enabled=args.precision == "bf16")


def relative_difference(ours: Sequence[Tensor], peer: Sequence[Tensor]) -> float:
    """Return the largest, over pairs of tensors, of max |ours - peer| / max |peer|."""
    pairs = [(own.detach().double(), others.detach().double()) for own, others in zip(ours, peer, strict=True)]
    differences = [((own - other).abs().max().item(), other.abs().max().item()) for own, other in pairs]
    return _largest([0.0 if gap == 0 else gap / size if size else math.inf for gap, size in differences])


def _largest(values: Sequence[float]) -> float:
    """Return the largest, or what is not a number, which `max` may pass over."""
    return math.nan if any(map(math.isnan, values)) else max(values)


def timed(run: Run, device: str) -> tuple[list[Tensor], float]:
    """Return the results of one run and the seconds it takes, until the device is done."""
    synchronize(device)
    start = time.perf_counter()
    results = run()
    synchronize(device)
    return results, time.perf_counter() - start


def seconds(run: Run, device: str) -> float:
    """Return what one run takes, until the device is done."""
    return timed(run, device)[1]


def synchronize(device: str) -> None:
    """Wait until an accelerator has done what it was given."""
    if torch.device(device).type != "cpu":
        torch.get_device_module(device).synchronize()


def peak_memory_mb(
    build: Builder,
    args: argparse.Namespace,
    side: Side,
    before: Callable[[argparse.Namespace], argparse.Namespace] | None = None,
    seed: int = 0,
) -> float:
    """Return the peak memory of one run of a side in MB, less what was held before it, in a process of its own."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("forkserver").Process(
        target=_measure, args=(build, args, side, before, seed, sender)
    )
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"the process that measured the memory of {side} ended with {process.exitcode}") from None
    finally:
        process.join()


def _measure(build, args, side, before, seed, sender) -> None:  # type: ignore[no-untyped-def]  # what `peak_memory_mb` takes
    _prepare(args)
    if before is not None:
        build(before(args), side, 0)()
    sender.send(peak_of(build(args, side, seed), args.device))


def peak_of(run: Run, device: str) -> float:
    """Return the peak memory of a run in MB, less what was held before it, in this process."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - held) / 1e6
    _free_at_once()
    held = _resident_bytes("VmRSS")
    if sys.platform == "linux":
        Path(f"/proc/{os.getpid()}/clear_refs").write_text("5")  # the high-water mark starts again from here
    run()
    return (_resident_bytes("VmHWM") - held) / 1e6


def _free_at_once() -> None:
    """Have glibc give back what is freed: a peak is then what is held, not what the allocator keeps.

    From then on allocations take longer.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 65536)
        libc.malloc_trim(0)


def _resident_bytes(field: Literal["VmRSS", "VmHWM"]) -> int:
    if sys.platform != "linux":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def positive(text: str, least: int = 1) -> int:
    """Read a whole number of at least 1, or another, for a flag."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"{value} is below {least}")
    return value


def add_flags(parser: argparse.ArgumentParser, *, batches: int, repeats: int) -> None:
    """Add the flags that every comparison has: those of `add_run_flags`, batches, precision, without_peer."""
    add_run_flags(parser, repeats=repeats, threads=torch.get_num_threads())
    parser.add_argument("--batches", type=positive, default=batches, help="seeded batches (default: %(default)s)")
    parser.add_argument(
        "--precision", choices=("float32", "bf16"), default="float32", help="bf16 is autocast (default: %(default)s)"
    )
    parser.add_argument("--without_peer", action="store_true", help="measure ours alone")


def add_run_flags(parser: argparse.ArgumentParser, *, repeats: int, threads: int) -> None:
    """Add the flags that every benchmark of a step has: data, repeats, threads, device, json."""
    parser.add_argument("--data", choices=("synthetic",), default="synthetic", help="random, of Open-I's lengths")
    parser.add_argument(
        "--repeats", type=positive, default=repeats, help="timings of each side (default: %(default)s)"
    )
    parser.add_argument("--threads", type=positive, default=threads, help="on a CPU (default: %(default)s)")
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="default: %(default)s"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file, as one object")


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; a device or a folder that is not there ends it before anything is measured."""
    args = parser.parse_args(argv)
    try:
        torch.empty(1, device=args.device)
    except (RuntimeError, AssertionError):
        parser.error(f"--device {args.device} is not available here")
    if args.json is not None and not args.json.parent.is_dir():
        parser.error(f"--json {args.json} lies in no folder that is there")
    return args


def write_json(path: Path | None, comparison: Comparison) -> None:
    """Write the figures as one object, where a file is named."""
    if path is not None:
        path.write_text(json.dumps(asdict(comparison), indent=2) + "\n", encoding="utf-8")
