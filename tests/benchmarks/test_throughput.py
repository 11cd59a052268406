"""The throughput benchmark runs from end to end at tiny size, and counts what it says."""

import json
import time
from pathlib import Path

import pytest
import torch
import yaml
from tiny_recipe import TINY_RECIPE, VIT
from transformers import AutoModel, BertConfig, ResNetConfig

from benchmarks.model_flops import image_training_flops, peak_flops, text_training_flops
from benchmarks.openi_lengths import draw_lengths
from benchmarks.synthetic_pairs import SyntheticBatches
from benchmarks.throughput import main
from datasets_scripts import phantom

SHAPES = {"batch_size": 4, "image_size": 32, "vision_embedding": 8, "text_width": 16, "text_layers": 1}
TINY = [part for name, value in SHAPES.items() for part in (f"--{name}", str(value))]
TINY += ["--vision_widths", "16", "--vision_depths", "1", "--text_heads", "2", "--vocabulary", "300", "--workers", "0"]


def _measure(path: Path, *arguments: str) -> dict[str, float]:
    main([*arguments, "--warmup", "1", "--steps", "2", "--device", "cpu", "--threads", "1", "--json", str(path)])
    return json.loads(path.read_text())


def test_synthetic_batches_are_measured(tmp_path: Path) -> None:
    figures = _measure(tmp_path / "out.json", *TINY, "--peak_tflops", "1")
    reports = [length.tokens for index in (1, 2) for length in draw_lengths(4, seed=index)]
    assert figures["tokens_per_second"] / figures["images_per_second"] == pytest.approx(10 * sum(reports) / 8)
    assert 0 < figures["waiting_share"] < 1
    assert figures["paper_epochs_minutes"] == pytest.approx(150 * 6004 / figures["images_per_second"] / 60)
    assert 0 < figures["mfu_step"] < 1
    assert 0 < figures["mfu_text"] < 1


def test_a_slow_loader_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = _measure(tmp_path / "fast.json", *TINY)["waiting_share"]
    make = SyntheticBatches.__getitem__

    def slowly(batches: SyntheticBatches, index: int) -> dict[str, torch.Tensor]:
        time.sleep(1)
        return make(batches, index)

    monkeypatch.setattr(SyntheticBatches, "__getitem__", slowly)
    slow = _measure(tmp_path / "slow.json", *TINY)
    assert slow["waiting_share"] > fast
    assert slow["waiting_share"] * slow["seconds_per_step"] == pytest.approx(1, rel=0.3)


def test_batches_are_measured_by_micro_batches(tmp_path: Path) -> None:
    figures = _measure(tmp_path / "out.json", *TINY, "--micro_batch_size", "2", "--peak_tflops", "1")
    assert 0 < figures["mfu_step"] < 1
    assert figures["mfu_text"] is None


def test_a_dataset_is_measured_by_its_recipe(tmp_path: Path) -> None:
    phantom.build(tmp_path / "data", train=8, validation=2, test=0, image_size=32, progress=False)
    recipe = {**TINY_RECIPE, "vision_config": VIT, "batch_size": 8, "perturbations_per_image": 1}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    paths = ["--data", str(tmp_path / "data"), "--config", str(tmp_path / "recipe.yaml")]
    figures = _measure(tmp_path / "out.json", *paths)
    one = figures["tokens_per_second"] / figures["images_per_second"]
    assert figures["mfu_step"] is figures["mfu_text"] is None
    with_more = [*paths, "--warmup", "1", "--steps", "2", "--device", "cpu", "--threads", "1", "--json"]
    main([*with_more, str(tmp_path / "more.json"), "--", "--perturbations_per_image", "3"])
    more = json.loads((tmp_path / "more.json").read_text())
    assert more["tokens_per_second"] / more["images_per_second"] == pytest.approx(2 * one, rel=0.2)


def test_flags_of_the_other_kind_of_data_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, word in (
        (["--data", "x", "--text_width", "8"], "--text_width"),
        (["--", "--alpha", "1"], "--alpha"),
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        assert word in capsys.readouterr().err


def test_a_berts_operations_are_six_a_weight_and_token_and_its_attentions() -> None:
    config = BertConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, vocab_size=9)
    model = AutoModel.from_config(config, add_pooling_layer=False)
    weights = 2 * (4 * 8 * 8 + 2 * 8 * 16)
    products = 2 * 2 * 8 * (5 * 5 + 3 * 3)  # of queries and keys, and with the values: layers x two x width x pairs
    assert text_training_flops(model, [5, 3]) == 3 * (2 * weights * 8 + 2 * products)


def test_a_resnets_operations_are_those_of_its_convolutions() -> None:
    config = ResNetConfig(embedding_size=8, hidden_sizes=[16], depths=[1], layer_type="basic")
    model = AutoModel.from_config(config)
    stem, *others = [layer.weight for layer in model.modules() if isinstance(layer, torch.nn.Conv2d)]
    # 32 pixels are 16 after the stem, which has no gradient of its inputs, and 8 after its pooling
    expected = 2 * 2 * stem.numel() * 16 * 16 + 3 * 2 * sum(weight.numel() for weight in others) * 8 * 8
    assert image_training_flops(model, (3, 32, 32)) == expected


def test_a_devices_peak_is_known_by_its_name() -> None:
    assert peak_flops("NVIDIA H100 80GB HBM3") == peak_flops("NVIDIA H200") == 989e12
    assert peak_flops("NVIDIA H100 PCIe") == 756e12
    assert peak_flops("2 CPU threads") is None


def test_synthetic_perturbations_hold_the_reports_tokens() -> None:
    batch = SyntheticBatches(1, 3, 2, (1, 8, 8), vocabulary=300)[0]
    for report, perturbed in zip(batch["input_ids"], batch["perturbed_input_ids"], strict=True):
        for text in perturbed:
            assert not text.equal(report)
            assert text.sort().values.equal(report.sort().values)
    words = batch["word_ids"].amax(dim=1) + 1
    assert words.tolist() == [length.words for length in draw_lengths(3, seed=0)]
