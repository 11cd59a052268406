"""What `finetune.py` refuses: one line that names which and where, before anything is trained."""

import json
from pathlib import Path

import pytest
from datasets import Dataset, Features, List, Value
from finetune_helpers import (
    FEATURES,
    image_rows,
    pair,
    refused,
    run_finetune,
    save_bert,
    save_prd,
    write_images,
    write_mednli,
)

from modeling_prd import PRDForImageClassification
from training.finetuning.loop import FineTuner


@pytest.fixture(scope="module")
def prd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_prd(tmp_path_factory.mktemp("prd"))


@pytest.fixture
def mednli(tmp_path: Path) -> Path:
    return write_mednli(tmp_path / "mednli")


@pytest.fixture(autouse=True)
def never_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(tuner: FineTuner) -> None:
        raise AssertionError("training began")

    monkeypatch.setattr(FineTuner, "train", train)


def change_pair(folder: Path, line: int, **changes: str | None) -> None:
    """Rewrites a line of the training file; None takes a key out."""
    file = folder / "mli_train_v1.jsonl"
    lines = file.read_text().splitlines()
    changed = {key: value for key, value in {**json.loads(lines[line - 1]), **changes}.items() if value is not None}
    lines[line - 1] = json.dumps(changed)
    file.write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gold_label": None}, "has no 'gold_label'"),
        ({"gold_label": "perhaps"}, "gold_label is 'perhaps'"),
        ({"sentence2": " "}, "sentence2 is ' '"),
    ],
)
def test_a_line_of_a_file_that_is_no_pair(mednli: Path, prd: Path, tmp_path: Path, capsys, changes, said):
    change_pair(mednli, 7, **changes)
    error = refused(capsys, "--task", "mednli", "--model", prd, "--data", mednli, "--output_dir", tmp_path / "run")
    assert "mli_train_v1.jsonl:7" in error
    assert said in error


def test_a_dataset_whose_pair_has_no_label(prd: Path, tmp_path: Path, capsys):
    rows = [
        {"premise": row["sentence1"], "hypothesis": row["sentence2"], "label": row["gold_label"], "pair_id": "p4"}
        for row in map(pair, range(6))
    ]
    rows[4]["label"] = "unsure"
    for split in ("train", "validation", "test"):
        Dataset.from_list(rows).to_json(tmp_path / "data" / f"{split}.jsonl")
    error = refused(
        *(capsys, "--task", "mednli", "--model", prd, "--data", tmp_path / "data"),
        *("--output_dir", tmp_path / "run"),
    )
    assert "pair 'p4' has the label 'unsure'; it is one of entailment, neutral, contradiction" in error


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"premise": [1, 2, 3]}, "the premise of pair 'p0' is 1; it must be text"),
        ({"premise": ["a", None, "c"]}, "the premise of pair 'p1' is None; it must be text"),
        ({"label": [["neutral"]] * 3}, "pair 'p0' has the label ['neutral']; it is one of entailment"),
    ],
)
def test_a_dataset_whose_pairs_are_of_other_types(prd: Path, tmp_path: Path, capsys, changes, said):
    columns = {"premise": ["a"] * 3, "hypothesis": ["b"] * 3, "label": ["neutral"] * 3, "pair_id": ["p0", "p1", "p2"]}
    for split in ("train", "validation", "test"):
        Dataset.from_dict(columns | changes).to_parquet(tmp_path / "data" / f"{split}.parquet")
    error = refused(
        *(capsys, "--task", "mednli", "--model", prd, "--data", tmp_path / "data"),
        *("--output_dir", tmp_path / "run"),
    )
    assert said in error


@pytest.mark.parametrize(
    ("feature", "value", "said"),
    [
        (List(Value("int64")), [0, 1], "column 'labels' is List(Value('int64')); it holds a number for each label"),
        ({"Edema": Value("string")}, {"Edema": "1"}, "label 'Edema' is Value('string'); it must be a number"),
    ],
)
def test_labels_of_another_type(prd: Path, tmp_path: Path, capsys, feature, value, said):
    rows = [{**row, "labels": value} for row in image_rows(6)]
    for split in ("train", "validation"):
        (tmp_path / "data").mkdir(exist_ok=True)
        data = Dataset.from_list(rows, features=Features({**FEATURES, "labels": feature}))
        data.to_parquet(tmp_path / "data" / f"{split}.parquet")
    error = refused(
        *(capsys, "--task", "chexpert", "--model", prd, "--data", tmp_path / "data"),
        *("--output_dir", tmp_path / "run"),
    )
    assert said in error


def test_a_dataset_without_a_column(prd: Path, tmp_path: Path, capsys):
    for split in ("train", "validation", "test"):
        Dataset.from_list([{"premise": "a", "label": "neutral"}]).to_json(tmp_path / "data" / f"{split}.jsonl")
    error = refused(
        *(capsys, "--task", "mednli", "--model", prd, "--data", tmp_path / "data"),
        *("--output_dir", tmp_path / "run"),
    )
    assert "has no column 'hypothesis' and no column 'pair_id'" in error


def test_a_folder_without_a_split(mednli: Path, prd: Path, tmp_path: Path, capsys):
    (mednli / "mli_test_v1.jsonl").unlink()
    error = refused(capsys, "--task", "mednli", "--model", prd, "--data", mednli, "--output_dir", tmp_path / "run")
    assert "has no split 'test': it has train, validation" in error


def test_an_image_that_does_not_open(prd: Path, tmp_path: Path, capsys):
    data = write_images(tmp_path / "images", train=24, validation=12)
    rows = image_rows(12, start=100)
    rows[5]["image"] = {"bytes": b"no image", "path": None}
    Dataset.from_list(rows, features=FEATURES).to_parquet(data / "data" / "test-00000-of-00001.parquet")
    error = refused(capsys, "--task", "chexpert", "--model", prd, "--data", data, "--output_dir", tmp_path / "run")
    assert "image 'image105' does not decode" in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--labels", "Consolidation,Rib"], "labels: 'Rib' is none of No Finding"),
        (["--labels", "Edema"], "labels: 'Edema' is not in the data, which has Consolidation, Pleural Effusion"),
        (["--hypothesis_only", "true"], "hypothesis_only is for mednli and radnli, not for chexpert"),
        (["--label_fraction", "0"], "label_fraction: 0.0 is not between"),
        (["--lora_r", "2", "--lora_targets", "query"], "lora_targets: 'query' matches no linear layer or convolution"),
        (["--lora_r", "2", "--method", "linear_probe"], "lora_r: a linear probe trains no encoder"),
        (["--seeds", "0,one"], "seeds: 'one' is no whole number"),
        (["--seeds", "0,4294967296"], "seeds: '4294967296' is no whole number below 2**32"),
        (["--seeds", "3,3"], "seeds: 3 stands twice"),
        (["--seeds", "[]"], "seeds: name at least one"),
        (["--labels", "[]"], "labels: name at least one"),
        (["--lora_r", "2", "--lora_targets", "[]"], "lora_targets: name at least one"),
        (["--adam_beta2", "1.5"], "adam_beta2: 1.5 is not between"),
        (["--augmentation.rotation", "400"], "rotation: 400.0 is not between 0 and 180"),
        (["--learning_rat", "1"], "did you mean learning_rate?"),
    ],
)
def test_a_wrong_argument_for_images(prd: Path, tmp_path: Path, capsys, arguments, said):
    data = write_images(tmp_path / "images", train=24, validation=12, test=12)
    error = refused(
        *(capsys, "--task", "chexpert", "--model", prd, "--data", data, "--output_dir", tmp_path / "run"), *arguments
    )
    assert said in error
    assert not (tmp_path / "run").exists()


def test_images_without_both_values_of_a_label_asked_for(prd: Path, tmp_path: Path, capsys):
    rows = image_rows(12)
    for row in rows:
        row["labels"]["Consolidation"] = 0.0
    for split in ("train", "validation", "test"):
        (tmp_path / "data").mkdir(exist_ok=True)
        Dataset.from_list(rows, features=FEATURES).to_parquet(tmp_path / "data" / f"{split}.parquet")
    error = refused(
        *(capsys, "--task", "chexpert", "--model", prd, "--data", tmp_path / "data"),
        *("--labels", "Consolidation", "--output_dir", tmp_path / "run"),
    )
    assert "labels: 'Consolidation' is never 1, or never 0, in the training split" in error


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("labels", {"Consolidation": 2.0}, "image 'image104': label 'Consolidation' is 2.0"),
        ("study_id", None, "split 'test' of"),
        ("image", None, "image 'image104' does not decode"),
    ],
)
def test_a_bad_value_in_the_split_that_is_reported_last(prd: Path, tmp_path: Path, capsys, column, value, said):
    data = write_images(tmp_path / "images", train=24, validation=12)
    rows = image_rows(12, start=100)
    rows[4][column] = value
    Dataset.from_list(rows, features=FEATURES).to_parquet(data / "data" / "test-00000-of-00001.parquet")
    error = refused(capsys, "--task", "chexpert", "--model", prd, "--data", data, "--output_dir", tmp_path / "run")
    assert said in error


@pytest.mark.parametrize("value", [None, 7])
def test_a_pair_without_an_id_of_text(prd: Path, tmp_path: Path, capsys, value):
    rows = [
        {"premise": row["sentence1"], "hypothesis": row["sentence2"], "label": row["gold_label"], "pair_id": value}
        for row in map(pair, range(6))
    ]
    for split in ("train", "validation", "test"):
        Dataset.from_list(rows).to_json(tmp_path / "data" / f"{split}.jsonl")
    error = refused(
        *(capsys, "--task", "mednli", "--model", prd, "--data", tmp_path / "data"),
        *("--output_dir", tmp_path / "run"),
    )
    assert f"pair_id of row 1 is {value!r}; it must be text" in error


def test_images_to_choose_on_without_both_values_of_any_label(prd: Path, tmp_path: Path, capsys):
    data = write_images(tmp_path / "images", train=24, validation=1, test=12)
    error = refused(capsys, "--task", "chexpert", "--model", prd, "--data", data, "--output_dir", tmp_path / "run")
    assert "the images to choose on have no label that is 1 for one and 0 for another" in error


def test_radnli_without_anything_to_train_on(prd: Path, tmp_path: Path, capsys):
    error = refused(capsys, "--task", "radnli", "--model", prd, "--data", tmp_path, "--output_dir", tmp_path / "run")
    assert "radnli has no training split: give MedNLI by --train_data, or --direct true" in error


def test_a_text_encoder_for_images(tmp_path: Path, capsys):
    data = write_images(tmp_path / "images", train=24, validation=12, test=12)
    error = refused(
        *(capsys, "--task", "chexpert", "--model", save_bert(tmp_path / "bert"), "--data", data),
        *("--output_dir", tmp_path / "run"),
    )
    assert "is a bert, of which transformers has no image classifier" in error


def test_an_image_classifier_of_prd_for_pairs(prd: Path, mednli: Path, tmp_path: Path, capsys):
    PRDForImageClassification.from_pretrained(prd, num_labels=2).save_pretrained(tmp_path / "images")
    error = refused(
        *(capsys, "--task", "mednli", "--model", tmp_path / "images", "--data", mednli),
        *("--output_dir", tmp_path / "run"),
    )
    assert "weights of PRDForSequenceClassification, such as 'text_model." in error
    assert "it is of another architecture" in error


def test_a_folder_without_a_model(mednli: Path, tmp_path: Path, capsys):
    error = refused(capsys, "--task", "mednli", "--model", mednli, "--data", mednli, "--output_dir", tmp_path / "run")
    assert "is no model: it has no config.json that names a model_type" in error


@pytest.mark.parametrize("save", [save_bert, save_prd])
def test_a_model_whose_weights_are_cut_off(mednli: Path, tmp_path: Path, capsys, save):
    weights = save(tmp_path / "model") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    error = refused(
        *(capsys, "--task", "mednli", "--model", tmp_path / "model", "--data", mednli),
        *("--output_dir", tmp_path / "run"),
    )
    assert f"the weights of {tmp_path / 'model'} cannot be read" in error


def test_no_such_model(mednli: Path, tmp_path: Path, capsys):
    error = refused(
        *(capsys, "--task", "mednli", "--model", tmp_path / "nowhere", "--data", mednli),
        *("--output_dir", tmp_path / "run"),
    )
    assert "nowhere" in error


def test_a_folder_with_other_files(prd: Path, mednli: Path, tmp_path: Path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "thesis.txt").write_text("mine")
    error = refused(capsys, "--task", "mednli", "--model", prd, "--data", mednli, "--output_dir", run)
    assert "holds files that are no fine-tuning" in error
    assert (run / "thesis.txt").read_text() == "mine"


def test_what_is_right_gets_to_training(prd: Path, mednli: Path, tmp_path: Path):
    with pytest.raises(AssertionError, match="training began"):
        run_finetune("--task", "mednli", "--model", prd, "--data", mednli, "--output_dir", tmp_path / "run")


def test_a_model_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = write_mednli(tmp_path / "data")
    said = refused(
        capsys, "--task", "mednli", "--data", data, "--model", "org/nowhere", "--output_dir", tmp_path / "run"
    )
    assert "model: 'org/nowhere' cannot be loaded" in said
