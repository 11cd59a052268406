"""The benchmark of real radiographs from end to end, on made pictures."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from finetune_helpers import save_prd
from PIL import Image

from benchmarks.radiographs import deal, main, patient_of, read_radiographs
from modeling_prd import PRDModel, PRDProcessor

LABELS = ("clear", "dense", "spotted")


def _cut_off() -> bytes:
    out = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(out, "PNG")
    return out.getvalue()[:1000]


CUT_OFF = _cut_off()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 pictures of 24 patients, whose brightness tells the label."""
    folder = tmp_path_factory.mktemp("radiographs")
    rng = np.random.default_rng(0)
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("image", "label"))
        for number in range(48):
            label = number // 2 % 3
            name = f"{number // 2:08d}_{number % 2:03d}.png"
            pixels = rng.integers(0, 40, (50, 40)) + 90 * label
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
            table.writerow((name, LABELS[label]))
    return folder


def test_a_name_tells_the_patient_or_the_publication():
    assert patient_of("00000218_000.jpg") == patient_of("00000218_017.jpg") == "00000218"
    assert patient_of("S0929664620300449-gr2_lrg-a.jpg") == patient_of("S0929664620300449-gr2_lrg-b.jpg")
    assert patient_of("paper.pdf-000-fig1a.jpg") == patient_of("paper.pdf-003-fig4b.jpg") == "paper"
    assert patient_of("case2a.jpg") != patient_of("case3a.jpg")
    assert patient_of("a.jpg") == "a"


def test_folds_keep_patients_whole_and_labels_in_like_shares(folder: Path):
    rows = read_radiographs(folder, 32)
    fold_of = deal(rows, 4, seed=0)
    folds_of_patients = {(patient, fold) for patient, fold in zip(rows["study_id"], fold_of, strict=True)}
    assert len(folds_of_patients) == 24
    assert np.bincount(fold_of).tolist() == [12] * 4


def test_the_four_trainings_are_measured_and_maps_drawn(folder: Path, tmp_path: Path, capsys, monkeypatch):
    for part, auto_class in ((PRDModel, "AutoModel"), (PRDProcessor, "AutoProcessor")):
        monkeypatch.setattr(part, "_auto_class", auto_class)
    model = save_prd(tmp_path / "prd")
    main(
        [
            *("--model", str(model), "--images", str(folder), "--image_size", "32", "--folds", "2", "--epochs", "3"),
            *("--batch_size", "8", "--n_bootstrap", "20", "--phrases", "the heart large"),
            *("--json", str(tmp_path / "out.json"), "--figure", str(tmp_path / "maps.png")),
        ]
    )
    printed = capsys.readouterr().out
    assert "48 images of 24 patients or publications, 2 folds" in printed
    assert "nothing clinical" in printed
    assert printed.count("| full |") == printed.count("| linear probe |") == 2
    results = json.loads((tmp_path / "out.json").read_text())
    for method in ("linear_probe", "full"):
        assert list(results[method]["pretrained"]["auroc"]) == ["mean", *LABELS]
        own, other = (results[method][init]["auroc"]["mean"]["value"] for init in ("pretrained", "random"))
        assert results[method]["gain"]["value"] == pytest.approx(own - other)
        low, high = results[method]["gain"]["interval"]
        assert low <= high
    assert Image.open(tmp_path / "maps.png").width > 300


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("labels.csv", "image,kind\na.png,clear\n", "labels.csv:2 has no 'label'"),
        ("labels.csv", "image,label\na.png,clear\n", "has 1 labels"),
        ("a.png", "no image", "a.png is no image that can be read"),
        ("other.txt", "a.png is cut off", "a.png is no image that can be read: "),
    ],
)
def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path, capsys, name: str, text: str, said: str):
    (tmp_path / "labels.csv").write_text("image,label\na.png,clear\nb.png,dense\n")
    (tmp_path / "a.png").write_bytes(CUT_OFF)
    (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit) as exit_info:
        main(["--model", str(tmp_path), "--images", str(tmp_path)])
    assert exit_info.value.code == 2
    assert said in capsys.readouterr().err
