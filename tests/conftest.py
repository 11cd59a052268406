"""No test reaches the network; those that speak to a Hub bring their own. Each test process has a core of its own.

Processes that a test starts by the method "forkserver" are copies of one that has imported our code, which takes more
than ten seconds of a slow core.
"""

import os
from multiprocessing import set_forkserver_preload

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported

worker = os.environ.get("PYTEST_XDIST_WORKER")  # gw0, gw1, ...
if worker is not None and hasattr(os, "sched_setaffinity"):
    # Before torch counts its threads: threads that outnumber the cores wait for each other by spinning.
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})

set_forkserver_preload(["train", "finetune", "datasets_scripts.chexpert", "spacy"])
