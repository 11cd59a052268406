"""`python -m evaluate_suite push`: the metric as a Space, and back through `evaluate.load`."""

import json
from pathlib import Path

import pytest
import yaml
from hub_server import client_environment, running_hub, uploads_to
from without_project import run_without_project

from evaluate_suite.__main__ import main
from evaluate_suite.structure_accuracy.structure_accuracy import structure_scores

PUSH = ["push", "structure_accuracy", "--repo_id", "org/structure_accuracy"]


def test_a_pushed_metric_is_a_private_space_that_evaluate_loads_by_its_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with running_hub() as hub:
        with uploads_to(hub):
            assert main(PUSH) == 0
        assert capsys.readouterr().out == f"{hub.address}/spaces/org/structure_accuracy\n"
        space = hub.repositories["spaces/org/structure_accuracy"]
        assert space.private
        assert space.sdk == "gradio"
        assert sorted(space.files) == ["README.md", "app.py", "requirements.txt", "structure_accuracy.py"]
        front_matter = yaml.safe_load(space.files["README.md"].decode().split("---\n")[1])
        assert (front_matter["sdk"], front_matter["app_file"]) == ("gradio", "app.py")

        code = (
            "import evaluate, json\n"
            "metric = evaluate.load('org/structure_accuracy')\n"
            "print(json.dumps(metric.compute(predictions=[[0.9, 0.2, 0.1], [0.3, 0.3, 0.1]], references=[0, 0])))\n"
        )
        loaded = run_without_project(code, tmp_path, **client_environment(hub, tmp_path))
    expected = structure_scores([[0.9, 0.2, 0.1], [0.3, 0.3, 0.1]], [0, 0])
    assert json.loads(loaded) == expected


def test_a_public_space_is_only_pushed_to_when_told(capsys: pytest.CaptureFixture[str]):
    with running_hub() as hub, uploads_to(hub):
        assert main([*PUSH, "--public"]) == 0
        space = hub.repositories["spaces/org/structure_accuracy"]
        assert not space.private
        capsys.readouterr()
        assert main(PUSH) == 2
    refused = capsys.readouterr().err
    assert refused.startswith("error: 'org/structure_accuracy' is there and public")
    assert refused.count("\n") == 1
    assert space.commits == 1


@pytest.mark.parametrize(
    ("repo_id", "hint"),
    [("org/metric", "--repo_id org/structure_accuracy"), ("metric", "--repo_id ORG/structure_accuracy")],
)
def test_a_space_of_another_name_is_refused_since_evaluate_would_not_find_the_script(
    capsys: pytest.CaptureFixture[str], repo_id: str, hint: str
):
    assert main(["push", "structure_accuracy", "--repo_id", repo_id]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {repo_id!r}")
    assert err.endswith(f"{hint}\n")


def test_an_unknown_metric_is_named_with_those_there_are(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit_info:
        main(["push", "structure", "--repo_id", "org/structure"])
    assert exit_info.value.code == 2
    assert "structure_accuracy" in capsys.readouterr().err
