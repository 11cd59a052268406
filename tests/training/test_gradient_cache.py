"""Gradient caching gives the gradients of one pass over the whole batch, in one process and in two."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.multiprocessing
from accelerate import Accelerator
from cached_gradients import ROWS, cached, joined_batch, one_pass, run
from gradient_checks import LOSSES, assert_gradients_agree, gradients
from tiny_models import ENCODERS, bert_config, vit_config
from torch.nn.utils.rnn import pad_sequence

from modeling_prd import PRDConfig, PRDModel, PRDOutput
from training import gradient_cache
from training.gradient_cache import GradientCache

# Two batches that are accumulated, each of the rows of two processes, of which the second has fewer; row 6 has the
# report of row 0. In micro-batches of two, the first process has two of three rows, the second one of one.
BATCHES = [[[0, 1, 2], [6]], [[4, 3], [5]]]
CASES: list[dict[str, Any]] = [{"encoders": encoders, **losses} for encoders in ENCODERS for losses in LOSSES.values()]


@pytest.mark.parametrize("encoders", ENCODERS)
@pytest.mark.parametrize("losses", LOSSES)
def test_gradients_are_those_of_one_pass(encoders: str, losses: str):
    everything = [list(range(ROWS))]
    found = cached(Accelerator(cpu=True), everything, 3, encoders, **LOSSES[losses])
    assert_gradients_agree(found, one_pass(everything, encoders, **LOSSES[losses]))


def test_gradients_of_two_processes_that_accumulate_are_those_of_one_pass_over_the_joined_batches(tmp_path: Path):
    cases = [{**case, "batches": BATCHES, "micro_batch_size": 2} for case in CASES]
    torch.multiprocessing.start_processes(run, (cases, str(tmp_path)), nprocs=2, start_method="forkserver")
    processes = [torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2)]
    for place, case in enumerate(CASES):
        expected = one_pass([shares[0] + shares[1] for shares in BATCHES], **case)
        for found in processes:
            assert_gradients_agree(found[place], expected)


def test_compiled_encoders_of_two_processes_exchange_nothing_in_the_first_pass(tmp_path: Path):
    shares, case = [[0, 1, 2], [3, 6]], CASES[0]
    torch.multiprocessing.start_processes(
        run,
        ([{**case, "batches": [shares], "micro_batch_size": 2, "compiled": True}], str(tmp_path)),
        nprocs=2,
        start_method="forkserver",
    )
    for rank in range(2):
        found = torch.load(tmp_path / f"rank{rank}.pt")
        assert_gradients_agree(found[0], one_pass([shares[0] + shares[1]], **case))


def test_losses_are_those_of_the_whole_batch():
    model, batch = _with_dropout().eval(), joined_batch()
    found = GradientCache(Accelerator(cpu=True), model, 2).backward(batch)
    torch.testing.assert_close(found, model(**batch).losses())


def test_dropout_is_replayed(monkeypatch: pytest.MonkeyPatch):
    batch = joined_batch()
    expected = _one_graph(batch)
    assert_gradients_agree(_cached_with_dropout(batch), expected)
    monkeypatch.setattr(gradient_cache, "_set_random_state", lambda device, state: None)
    with pytest.raises(AssertionError):
        assert_gradients_agree(_cached_with_dropout(batch), expected)


def test_the_random_state_goes_on_as_after_one_pass_over_the_micro_batches():
    batch = joined_batch()
    _one_graph(batch)
    expected = torch.rand(1)
    _cached_with_dropout(batch)
    assert torch.rand(1) == expected


def test_a_batch_no_larger_than_a_micro_batch_is_encoded_once():
    model, batch = _with_dropout().eval(), joined_batch()
    calls: list[int] = []
    model.text_model.register_forward_pre_hook(lambda *_: calls.append(1))
    found = GradientCache(Accelerator(cpu=True), model, ROWS).backward(batch)
    in_one_pass = len(calls)
    torch.testing.assert_close(found, model(**batch).losses())
    assert len(calls) == 2 * in_one_pass  # the last line's are as many


def test_the_first_pass_of_a_compiled_encoder_is_by_the_graph_of_the_second():
    model = _with_dropout()
    with_gradient: list[bool] = []
    model.text_model.register_forward_pre_hook(lambda *_: with_gradient.append(torch.is_grad_enabled()))
    GradientCache(Accelerator(cpu=True), model, 3).backward(joined_batch())
    assert set(with_gradient) == {False, True}
    with_gradient.clear()
    model.vision_model.compile(backend="eager")
    GradientCache(Accelerator(cpu=True), model, 3).backward(joined_batch())
    assert set(with_gradient) == {True}


def test_the_random_state_of_a_gpu_is_kept_too(monkeypatch: pytest.MonkeyPatch):
    states = [torch.tensor([1])]
    gpu = SimpleNamespace(
        get_rng_state=lambda device: states[-1], set_rng_state=lambda state, device: states.append(state)
    )
    monkeypatch.setattr(torch, "get_device_module", lambda device: gpu)
    kept = gradient_cache._random_state(torch.device("cuda:1"))
    states.append(torch.tensor([2]))
    gradient_cache._set_random_state(torch.device("cuda:1"), kept)
    assert states[-1].item() == 1


def test_a_frozen_encoder_gets_no_gradient_and_the_rest_the_same():
    model, batch = _with_dropout().eval(), joined_batch()
    GradientCache(Accelerator(cpu=True), model, 3).backward(batch)
    whole = gradients(model)
    model.zero_grad()
    model.text_model.requires_grad_(False)
    GradientCache(Accelerator(cpu=True), model, 3).backward(batch)
    trained = {name: gradient for name, gradient in whole.items() if not name.startswith("text_model.")}
    assert len(trained) < len(whole)
    assert_gradients_agree(gradients(model), trained)


def test_processes_that_encode_in_step_need_a_row_for_each_micro_batch():
    processes: Any = SimpleNamespace(
        device=torch.device("cpu"), gather=lambda rows: torch.tensor([ROWS, 2]), is_fsdp2=True, process_index=0
    )
    cache = GradientCache(processes, _with_dropout(), micro_batch_size=2)
    with pytest.raises(ValueError, match=r"micro_batch_size: 2 makes 4 micro-batches of 7 rows, .* only 2 rows"):
        cache.backward(joined_batch())


def _with_dropout() -> PRDModel:
    torch.manual_seed(0)
    text_config = bert_config(hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)
    config = PRDConfig(vision_config=vit_config(hidden_dropout_prob=0.2), text_config=text_config, projection_dim=8)
    return PRDModel(config).double().train()


def _cached_with_dropout(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    model = _with_dropout()
    torch.manual_seed(1)
    GradientCache(Accelerator(cpu=True), model, 3).backward(batch)
    return gradients(model)


def _one_graph(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The micro-batches of 3, 2 and 2 rows, encoded one after the other in one graph."""
    model = _with_dropout()
    torch.manual_seed(1)
    parts: list[PRDOutput] = [
        model(**{name: value[rows] for name, value in batch.items()}, encode_only=True)
        for rows in (slice(0, 3), slice(3, 5), slice(5, 7))
    ]
    vectors = {
        name: torch.cat([part[name] for part in parts])
        for name in ("image_embeds", "image_regions", "text_embeds", "perturbed_embeds")
    }
    for name in ("word_embeds", "word_mask"):
        vectors[name] = pad_sequence([row for part in parts for row in part[name]], batch_first=True)
    masks = {name: batch[name] for name in ("perturbation_mask", "report_ids")}
    model.compute_losses(**vectors, **masks).loss.backward()
    return gradients(model)
