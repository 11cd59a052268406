from typing import Any

import pytest
import torch

from training import devices
from training.arguments import OptimizationArguments, RunArguments
from training.devices import build_accelerator, device_name


@pytest.mark.parametrize(
    ("device", "has_bf16", "uses_cpu", "expected"),
    [
        ("auto", True, False, "bf16"),
        ("cuda", True, False, "bf16"),
        ("auto", False, False, "none"),
        ("auto", True, True, "none"),
        ("cpu", True, False, "none"),
    ],
)
def test_a_gpu_computes_in_bf16_where_it_can(
    device: str, has_bf16: bool, uses_cpu: bool, expected: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    monkeypatch.setenv("ACCELERATE_USE_CPU", str(uses_cpu).lower())
    assert devices._precision("auto", device) == expected
    assert devices._precision("fp16", device) == "fp16"


@pytest.mark.parametrize(("precision", "named"), [("auto", "float32"), ("none", "float32"), ("bf16", "bf16")])
def test_the_device_is_named_with_its_precision(precision: Any, named: str):
    optimization = OptimizationArguments(mixed_precision=precision)
    accelerator = build_accelerator(RunArguments(device="cpu", cpu_threads=1), optimization, seed=0)
    assert device_name(accelerator) == f"1 x 1 CPU threads, {named}"
