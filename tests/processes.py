"""Processes of our own code, forked from the server that has imported it (see `conftest.py`)."""

import os
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import torch

_LIMIT = 300
"""Seconds in which one of the processes has to end; processes that wait for each other never do."""


@dataclass(frozen=True)
class Ended:
    """Exit statuses by rank, that of a process which a signal ended negative; and what all of them printed."""

    statuses: list[int | None]
    stdout: str
    stderr: str


def run(target: Callable[..., Any], *arguments: Any) -> Ended:
    """Calls a module's function in a process of its own, whose exit status is what it returns."""
    return _run(target, arguments, [{}])


def launch(main: Callable[[list[str]], Any], arguments: Sequence[object], **environment: str) -> Ended:
    """Calls `train.main` or `finetune.main` in two processes on the CPU, as `accelerate launch` would.

    Args:
        main: a module's function.
        arguments: of the command line.
        environment: variables that are set besides.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"ACCELERATE_USE_CPU": "true", **environment}
    ranks = [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    return _run(main, ([str(argument) for argument in arguments],), ranks)


def _run(target: Callable[..., Any], arguments: Sequence[Any], environments: list[dict[str, str]]) -> Ended:
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / name for name in ("stdout", "stderr")]
        for output in outputs:
            output.touch()
        context = get_context("forkserver")
        processes = [
            context.Process(target=_be_process, args=(target, arguments, environment, outputs))
            for environment in environments
        ]
        for process in processes:
            process.start()
        running = {process.sentinel: process for process in processes}
        while running:
            ready = wait(list(running), timeout=_LIMIT)
            if not ready:
                for process in running.values():
                    process.kill()
                raise TimeoutError(f"{target.__name__} did not end in {_LIMIT} s: {outputs[1].read_text()[-3000:]}")
            for sentinel in ready:
                ended = running.pop(sentinel)
                ended.join()
                if ended.exitcode != 0:
                    for other in running.values():  # it would wait for the one that is gone
                        other.terminate()
        return Ended([process.exitcode for process in processes], *(output.read_text() for output in outputs))


def _be_process(
    target: Callable[..., Any], arguments: Sequence[Any], environment: dict[str, str], outputs: list[Path]
) -> None:
    for number, output in zip((1, 2), outputs, strict=True):
        os.dup2(os.open(output, os.O_WRONLY | os.O_APPEND), number)
    os.environ.update(environment)
    torch.set_num_threads(1)
    sys.exit(target(*arguments))
