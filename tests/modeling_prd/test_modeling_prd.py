"""PRDModel's contract: which inputs give which outputs, and what the losses are made of."""

import math
from typing import Any

import pytest
import torch
from tiny_models import VOCABULARY, tiny_batch, tiny_model

from modeling_prd import PRDModel, losses_prd

ENCODERS = ["resnet_bert", "vit_modernbert"]
IMAGES = ("pixel_values",)
REPORTS = ("input_ids", "attention_mask")


def _some(batch: dict[str, torch.Tensor], *names: str) -> dict[str, torch.Tensor]:
    return {name: batch[name] for name in names}


@pytest.mark.parametrize("encoders", ENCODERS)
def test_every_field_has_its_shape(encoders: str) -> None:
    output = tiny_model(encoders)(**tiny_batch(size=4, perturbations=3))
    regions = {"resnet_bert": 4, "vit_modernbert": 16}[encoders]
    shapes = {name: tuple(value.shape) for name, value in output.items()}
    assert shapes == {
        "loss": (),
        "loss_global": (),
        "loss_local": (),
        "loss_perturbation": (),
        "logits_per_image": (4, 4),
        "logits_per_text": (4, 4),
        "local_logits_per_image": (4, 4),
        "perturbation_logits": (4, 4),
        "image_embeds": (4, 8),
        "text_embeds": (4, 8),
        "perturbed_embeds": (4, 3, 8),
        "image_regions": (4, regions, 8),
        "word_embeds": (4, 5, 8),
        "word_mask": (4, 5),
    }
    for name in ("image_embeds", "text_embeds", "perturbed_embeds"):
        torch.testing.assert_close(output[name].norm(dim=-1), torch.ones(output[name].shape[:-1]))


def test_images_alone_give_image_vectors_first() -> None:
    output = tiny_model()(**_some(tiny_batch(), *IMAGES))
    assert list(output) == ["image_embeds", "image_regions"]


def test_texts_alone_give_text_vectors_first() -> None:
    model, batch = tiny_model(), tiny_batch()
    assert list(model(**_some(batch, *REPORTS))) == ["text_embeds"]
    assert list(model(**_some(batch, *REPORTS, "word_ids"))) == ["text_embeds", "word_embeds", "word_mask"]


def test_one_image_and_several_texts_give_logits_and_no_loss() -> None:
    batch = tiny_batch(size=4)
    batch["pixel_values"] = batch["pixel_values"][:1]
    output = tiny_model()(**batch)
    assert output.loss is output.perturbation_logits is None
    assert output.logits_per_image.shape == output.local_logits_per_image.shape == (1, 4)


def test_features_are_projected_and_not_normalised() -> None:
    model, batch = tiny_model(), tiny_batch()
    output = model(**batch)
    images = model.get_image_features(batch["pixel_values"])
    texts = model.get_text_features(batch["input_ids"], batch["attention_mask"])
    for features, embeds in ((images, output.image_embeds), (texts, output.text_embeds)):
        torch.testing.assert_close(torch.nn.functional.normalize(features.pooler_output, dim=-1), embeds)
        assert not torch.allclose(features.pooler_output.norm(dim=-1), torch.ones(4))


def test_every_perturbed_report_has_its_own_vector() -> None:
    model, batch = tiny_model(), tiny_batch()
    output = model(**batch)
    for place in range(3):
        inputs = batch["perturbed_input_ids"][:, place], batch["perturbed_attention_mask"][:, place]
        expected = torch.nn.functional.normalize(model.get_text_features(*inputs).pooler_output, dim=-1)
        torch.testing.assert_close(output.perturbed_embeds[:, place], expected)


def test_local_vectors_are_the_forwards() -> None:
    model, batch = tiny_model(), tiny_batch()
    output = model(**batch)
    torch.testing.assert_close(model.get_image_regions(batch["pixel_values"]), output.image_regions)
    words, mask = model.get_word_embeddings(batch["input_ids"], batch["attention_mask"], batch["word_ids"])
    torch.testing.assert_close(words[mask], output.word_embeds[mask])
    assert mask.equal(output.word_mask)
    similarity = model.local_similarity(output.image_regions, words, mask)
    torch.testing.assert_close(similarity / model.temperature, output.local_logits_per_image)


@pytest.mark.parametrize("variant", ["paper", "gloria"])
def test_the_loss_is_the_weighted_sum_of_the_three(variant: str) -> None:
    weights = {"global_weight": 0.7, "alpha": 0.2, "beta": 0.4}
    model = tiny_model(local_variant=variant, local_length_normalized=True, temperature=0.2, **weights)
    batch = tiny_batch()
    output = model(**batch)
    vectors = output.image_embeds, output.text_embeds
    negatives = batch["report_ids"][:, None] != batch["report_ids"]
    loss_global = losses_prd.global_contrastive_loss(*vectors, 0.2, negatives)
    similarity = losses_prd.local_similarity(
        output.image_regions, output.word_embeds, output.word_mask, variant, length_normalized=True
    )
    loss_local = losses_prd.local_contrastive_loss(similarity, 5.0 if variant == "paper" else 10.0, negatives)
    loss_perturbation = losses_prd.perturbation_loss(
        *vectors, output.perturbed_embeds, batch["perturbation_mask"], 0.2
    )
    torch.testing.assert_close(output.loss_global, loss_global)
    torch.testing.assert_close(output.loss_local, loss_local)
    torch.testing.assert_close(output.loss_perturbation, loss_perturbation)
    torch.testing.assert_close(output.loss, 0.7 * loss_global + 0.2 * loss_local + 0.4 * loss_perturbation)


def test_the_texts_logits_are_the_images_transposed() -> None:
    batch = tiny_batch(size=4)
    output = tiny_model()(**_some(batch, *REPORTS), pixel_values=batch["pixel_values"][:3])
    assert output.logits_per_text.shape == (4, 3)
    assert output.logits_per_text.equal(output.logits_per_image.T)
    expected = output.text_embeds @ output.image_embeds.T / tiny_model().temperature
    torch.testing.assert_close(output.logits_per_text, expected)


def test_glorias_three_temperatures_are_the_configurations() -> None:
    scales = {"attention_temperature": 2.5, "similarity_temperature": 3.0, "local_logit_scale": 7.0}
    output = tiny_model(local_variant="gloria", **scales)(**tiny_batch())
    similarity = losses_prd.local_similarity(
        output.image_regions,
        output.word_embeds,
        output.word_mask,
        "gloria",
        attention_temperature=2.5,
        similarity_temperature=3.0,
    )
    torch.testing.assert_close(output.local_logits_per_image, 7.0 * similarity)


def test_duplicate_reports_count_as_negatives_only_if_asked() -> None:
    batch = tiny_batch()
    without_ids = {name: value for name, value in batch.items() if name != "report_ids"}
    masked, negative, unknown = (
        tiny_model(duplicate_reports=choice)(**inputs)
        for choice, inputs in (("mask", batch), ("negative", batch), ("mask", without_ids))
    )
    for name in ("loss_global", "loss_local"):
        assert masked[name] < negative[name]
        torch.testing.assert_close(negative[name], unknown[name])


@pytest.mark.parametrize(
    ("choice", "candidates_of_a_twin"), [("negative", 2 * math.e + 1), ("mask", math.e + 1)], ids=["negative", "mask"]
)
def test_two_images_of_one_report_compete_for_it_only_if_asked(choice: str, candidates_of_a_twin: float) -> None:
    images = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    output = tiny_model(duplicate_reports=choice, temperature=1.0).compute_losses(
        image_embeds=images,
        image_regions=images[:, None],
        text_embeds=images,
        word_embeds=images[:, None],  # of one word, so that S is the product, as the cosine is
        word_mask=torch.ones(3, 1, dtype=torch.bool),
        report_ids=torch.tensor([7, 7, 9]),
    )
    expected = (2 * math.log(candidates_of_a_twin / math.e) + math.log((math.e + 2) / math.e)) / 3
    assert output.loss_global.item() == pytest.approx(expected, rel=1e-6)
    assert output.loss_local.item() == pytest.approx(expected, rel=1e-6)


def test_a_left_out_perturbation_has_no_logit() -> None:
    batch = tiny_batch()
    output = tiny_model()(**batch)
    assert output.perturbation_logits[:, 1:].isneginf().equal(~batch["perturbation_mask"])
    kept = tiny_model()(**(batch | {"perturbation_mask": None}))
    everything = torch.ones_like(batch["perturbation_mask"])
    torch.testing.assert_close(
        kept.perturbation_logits, tiny_model()(**(batch | {"perturbation_mask": everything})).perturbation_logits
    )


def test_losses_are_computed_where_their_inputs_are() -> None:
    model, batch = tiny_model(), tiny_batch()
    pairs = _some(batch, *IMAGES, *REPORTS)
    assert model(**pairs).loss_local is None
    assert model(**pairs).loss_perturbation is None
    torch.testing.assert_close(model(**pairs).loss, model(**pairs).loss_global)
    silent = model(**batch, return_loss=False)
    assert silent.loss is None
    assert silent.logits_per_image is not None


@pytest.mark.parametrize("missing", ["pixel_values", "input_ids", "word_ids", "perturbed_input_ids"])
def test_a_wanted_loss_names_its_missing_input(missing: str) -> None:
    batch = {name: value for name, value in tiny_batch().items() if name != missing}
    if missing == "input_ids":
        batch = _some(batch, *IMAGES)
    with pytest.raises(ValueError, match=rf"return_loss=True needs .*\b{missing}\b"):
        tiny_model()(**batch, return_loss=True)


def test_a_loss_without_weight_needs_no_input() -> None:
    pairs = _some(tiny_batch(), *IMAGES, *REPORTS)
    assert tiny_model(alpha=0.0, beta=0.0)(**pairs, return_loss=True).loss is not None


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((), "give pixel_values, input_ids or both"),
        (("pixel_values", "word_ids"), "word_ids belongs to input_ids, which is missing"),
        (("pixel_values", "perturbed_input_ids"), "perturbed_input_ids belongs to input_ids, which is missing"),
    ],
    ids=str,
)
def test_inputs_that_make_no_sense_are_an_error(inputs: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_model()(**_some(tiny_batch(), *inputs))


@pytest.mark.parametrize("name", ["word_ids", "perturbed_input_ids", "report_ids"])
def test_a_row_too_few_is_named(name: str) -> None:
    batch = tiny_batch(size=4)
    with pytest.raises(ValueError, match=f"{name} has 3 rows for 4 reports"):
        tiny_model()(**(batch | {name: batch[name][:3]}))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("word_ids", lambda ids: ids[:, :5], r"word_ids has shape \[4, 5\] where input_ids has \[4, 9\]"),
        ("perturbation_mask", lambda mask: mask[:1], r"perturbation_mask has shape \[1, 3\], not \[4, 3\]"),
        ("perturbation_mask", lambda mask: mask.long(), r"perturbation_mask is torch\.int64, not torch\.bool"),
        ("perturbed_input_ids", lambda ids: None, "perturbation_mask belongs to perturbed_input_ids"),
    ],
)
def test_inputs_that_do_not_fit_each_other_are_named(name: str, change: Any, message: str) -> None:
    batch = tiny_batch(size=4)
    with pytest.raises(ValueError, match=message):
        tiny_model()(**(batch | {name: change(batch[name])}))


def test_a_report_too_many_is_an_error_when_a_loss_is_wanted() -> None:
    batch = tiny_batch()
    batch["pixel_values"] = batch["pixel_values"][:3]
    with pytest.raises(ValueError, match="got 3 images and 4 reports"):
        tiny_model()(**batch, return_loss=True)


def test_a_report_without_a_word_is_an_error_that_names_its_row() -> None:
    batch = tiny_batch()
    batch["word_ids"][2] = -1
    with pytest.raises(ValueError, match=r"rows \[2\] have no word"):
        tiny_model()(**batch)
    with pytest.raises(ValueError, match=r"rows \[2\] have no word"):
        tiny_model()(**_some(batch, *REPORTS, "word_ids"))
    with pytest.raises(RuntimeError, match="a report has no word"):
        torch.compile(tiny_model(), fullgraph=True, backend="eager")(**batch)


def test_a_tokenizers_segment_ids_are_accepted() -> None:
    model, batch = tiny_model(), tiny_batch()
    inputs = _some(batch, *REPORTS)
    segments = torch.zeros_like(batch["input_ids"])
    torch.testing.assert_close(model(**inputs, token_type_ids=segments).text_embeds, model(**inputs).text_embeds)


def test_the_loss_comes_first_in_a_tuple() -> None:
    model, batch = tiny_model(), tiny_batch()
    output = model(**batch)
    assert output[0].equal(output.loss)
    assert model(**batch, return_dict=False)[0].equal(output.loss)


def test_a_learned_temperature_starts_as_configured_divides_all_logits_and_keeps_its_bound() -> None:
    batch = tiny_batch()
    fixed, learned = tiny_model(temperature=0.2), tiny_model(temperature=0.2, learn_temperature=True)
    torch.testing.assert_close(learned(**batch).loss, fixed(**batch).loss)
    learned(**batch).loss_perturbation.backward()
    assert learned.log_temperature.grad != 0
    with torch.no_grad():
        learned.log_temperature.fill_(-100.0)
    assert learned.temperature.item() == pytest.approx(0.01)


def test_the_same_seed_gives_the_same_weights_whatever_the_losses() -> None:
    convirt, prd = tiny_model(alpha=0.0, beta=0.0), tiny_model(local_variant="gloria", learn_temperature=True)
    ours = prd.state_dict()
    for name, weight in convirt.state_dict().items():
        assert weight.equal(ours[name]), name


def test_token_embeddings_are_the_text_encoders() -> None:
    model = tiny_model()
    assert model.get_input_embeddings() is model.text_model.get_input_embeddings()
    model.resize_token_embeddings(VOCABULARY + 3)
    assert model.text_model.get_input_embeddings().num_embeddings == VOCABULARY + 3
    assert isinstance(model, PRDModel)
