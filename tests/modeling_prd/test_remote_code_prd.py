"""A saved folder is enough: a process without this project loads it from there, offline, and gets the same numbers."""

from pathlib import Path

import pytest
import torch
from tiny_models import tiny_batch, tiny_model
from without_project import run_without_project

from modeling_prd import PRDConfig, PRDModel

SCRIPT = """
import sys

import torch
from transformers import AutoConfig, AutoModel

folder = sys.argv[1]
torch.set_num_threads(1)
config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
assert type(config).__name__ == "PRDConfig" and config.model_type == "prd"
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
with torch.no_grad():
    output = model(**torch.load(folder + "/batch.pt"))
torch.save(dict(output), folder + "/output.pt")
"""


@pytest.mark.parametrize("encoders", ["resnet_bert", "vit_modernbert"])
def test_a_process_without_the_project_gets_the_same_outputs(
    encoders: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PRDConfig, "_auto_class", "AutoConfig")
    monkeypatch.setattr(PRDModel, "_auto_class", "AutoModel")
    model, batch = tiny_model(encoders, vision_pooling="flatten"), tiny_batch()
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    torch.save(batch, folder / "batch.pt")
    run_without_project(SCRIPT, tmp_path, str(folder))
    actual = torch.load(folder / "output.pt")
    torch.set_num_threads(1)
    with torch.no_grad():
        expected = model(**batch)
    assert list(actual) == list(expected)
    for name, value in expected.items():
        assert actual[name].equal(value), name
