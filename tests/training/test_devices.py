from typing import Any

import pytest
import torch

from training import devices
from training.arguments import OptimizationArguments, RunArguments
from training.devices import build_accelerator, device_name


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "none")])
def test_a_gpu_computes_in_bf16_where_it_can(has_bf16: bool, expected: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    assert devices._precision("auto", torch.device("cuda")) == expected
    assert devices._precision("fp16", torch.device("cuda")) == "fp16"


@pytest.mark.parametrize(("precision", "named"), [("auto", "float32"), ("none", "float32"), ("bf16", "bf16")])
def test_the_device_is_named_with_its_precision(precision: Any, named: str):
    optimization = OptimizationArguments(mixed_precision=precision)
    accelerator = build_accelerator(RunArguments(device="cpu", cpu_threads=1), optimization, seed=0)
    assert device_name(accelerator) == f"1 x 1 CPU threads, {named}"
