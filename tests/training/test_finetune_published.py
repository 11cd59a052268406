"""Fine-tuning starts from the published encoders that pre-training starts from, too."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import BertConfig, BertModel, ResNetConfig, ResNetModel

from modeling_prd.checkpoints_prd import PublishedEncoder
from modeling_prd.heads_prd import BioViLProjection
from training.finetuning import models
from training.finetuning.arguments import ClassifierArguments
from training.finetuning.models import load_classifier
from training.models import build_tokenizer

LABELS = ("Consolidation", "Pleural Effusion")


@pytest.fixture
def biovil(monkeypatch: pytest.MonkeyPatch) -> PublishedEncoder:
    """A small encoder with its projector in place of the one that BioViL's file holds."""
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic", image_size=32)
    settings = {"vision_pooling": "projected_mean", "vision_projection": "biovil", "projection_dim": 16}
    published = PublishedEncoder("biovil.pt", ResNetModel(config), BioViLProjection(12, 16), settings)
    monkeypatch.setattr(models, "load_vision_encoder", lambda *_: published)
    return published


@pytest.fixture
def cxr_bert(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PublishedEncoder:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(["the lungs are clear"], 200, 64)
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    settings = {"text_pooling": "cls", "text_projection": "cxr_bert", "projection_dim": 8}
    published = PublishedEncoder("cxr-bert", BertModel(config, add_pooling_layer=False), None, settings)
    (tmp_path / "config.json").write_text('{"model_type": "cxr-bert"}')
    monkeypatch.setattr(models, "load_text_encoder", lambda *_: published)
    monkeypatch.setattr(models, "load_tokenizer", lambda _: tokenizer)
    return published


def test_biovils_encoder_and_projector_are_taken(biovil: PublishedEncoder):
    arguments = ClassifierArguments(model="biovil.pt", image_size=32)
    classifier = load_classifier(arguments, LABELS, "multi_label_classification")
    model = classifier.model
    for name, weight in biovil.encoder.state_dict().items():
        assert torch.equal(model.vision_model.state_dict()[name], weight)
    for name, weight in biovil.projection.state_dict().items():
        assert torch.equal(model.image_head.projection.state_dict()[name], weight)


def test_biovils_images_stay_in_zero_to_one(biovil: PublishedEncoder):
    arguments = ClassifierArguments(model="biovil.pt", image_size=32)
    prepare = load_classifier(arguments, LABELS, "multi_label_classification").prepare
    pixels = prepare([Image.new("L", (40, 40), 255)])["pixel_values"]
    assert pixels.shape == (1, 3, 32, 32)
    assert pixels.max() == 1


def test_cxr_berts_encoder_is_taken_and_reads_normalised_pairs(cxr_bert: PublishedEncoder, tmp_path: Path):
    arguments = ClassifierArguments(model=str(tmp_path))
    classifier = load_classifier(arguments, ("a", "b", "c"), "single_label_classification", max_length=20)
    for name, weight in cxr_bert.encoder.state_dict().items():
        assert torch.equal(classifier.model.text_model.state_dict()[name], weight)
    plain, written = classifier.prepare(["the lungs"], ["clear"]), classifier.prepare(["The lungs."], ["CLEAR!"])
    assert torch.equal(plain["input_ids"], written["input_ids"])


def test_a_vision_encoder_reads_no_pairs():
    with pytest.raises(ValueError, match="is a vision encoder and reads no text"):
        load_classifier(ClassifierArguments(model="biovil.pt"), LABELS, "single_label_classification")


def test_a_text_encoder_takes_no_images(cxr_bert: PublishedEncoder, tmp_path: Path):
    with pytest.raises(ValueError, match="is a text encoder and takes no images"):
        load_classifier(ClassifierArguments(model=str(tmp_path)), LABELS, "multi_label_classification")
