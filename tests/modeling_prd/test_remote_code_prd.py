"""A saved folder is enough: a process without this project loads it from there, offline, and gets the same numbers."""

from pathlib import Path

import pytest
import torch
from tiny_models import ENCODERS, tiny_batch, tiny_model
from without_project import run_without_project

from modeling_prd import PRDConfig, PRDModel

SCRIPT = """
import torch
from transformers import AutoConfig, AutoModel

torch.set_num_threads(1)
for folder in ("resnet_bert", "vit_modernbert"):
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    assert type(config).__name__ == "PRDConfig" and config.model_type == "prd"
    model = AutoModel.from_pretrained(folder, trust_remote_code=True)
    with torch.no_grad():
        output = model(**torch.load(folder + "/batch.pt"))
    torch.save(dict(output), folder + "/output.pt")
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Saved folders by encoders, with the outputs that one process without the project got."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PRDConfig, "_auto_class", "AutoConfig")
        patch.setattr(PRDModel, "_auto_class", "AutoModel")
        for encoders in ENCODERS:
            tiny_model(encoders, vision_pooling="flatten").save_pretrained(folder / encoders)
            torch.save(tiny_batch(), folder / encoders / "batch.pt")
    run_without_project(SCRIPT, folder)
    return folder


@pytest.mark.parametrize("encoders", list(ENCODERS))
def test_a_process_without_the_project_gets_the_same_outputs(encoders: str, elsewhere: Path) -> None:
    actual = torch.load(elsewhere / encoders / "output.pt")
    torch.set_num_threads(1)
    with torch.no_grad():
        expected = tiny_model(encoders, vision_pooling="flatten")(**tiny_batch())
    assert list(actual) == list(expected)
    for name, value in expected.items():
        assert actual[name].equal(value), name
