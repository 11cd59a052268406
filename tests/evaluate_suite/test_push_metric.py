"""`python -m evaluate_suite push`: the metric as a Space, and back through `evaluate.load`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hub_server import client_environment, running_hub

import evaluate_suite
from evaluate_suite.__main__ import main
from evaluate_suite.structure_accuracy.structure_accuracy import structure_scores

ROOT = Path(evaluate_suite.__file__).parent.parent
PUSH = [sys.executable, "-m", "evaluate_suite", "push", "structure_accuracy", "--repo_id", "org/structure_accuracy"]


def test_a_pushed_metric_is_a_private_space_that_evaluate_loads_by_its_id(tmp_path: Path):
    with running_hub() as hub:
        environment = client_environment(hub, tmp_path)
        pushed = subprocess.run(PUSH, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert pushed.returncode == 0, pushed.stderr
        assert pushed.stdout == f"{hub.address}/spaces/org/structure_accuracy\n"
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
        loaded = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert loaded.returncode == 0, loaded.stderr[-3000:]
    expected = structure_scores([[0.9, 0.2, 0.1], [0.3, 0.3, 0.1]], [0, 0])
    assert json.loads(loaded.stdout) == expected


def test_a_public_space_is_only_pushed_to_when_told(tmp_path: Path):
    with running_hub() as hub:
        environment = client_environment(hub, tmp_path)
        assert subprocess.run([*PUSH, "--public"], cwd=ROOT, env=environment, check=True)
        space = hub.repositories["spaces/org/structure_accuracy"]
        assert not space.private
        refused = subprocess.run(PUSH, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: 'org/structure_accuracy' is there and public")
    assert refused.stderr.count("\n") == 1
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
