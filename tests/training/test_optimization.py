import math

import pytest
import torch
from torch import nn

from training.arguments import OptimizationArguments
from training.optimization import build_optimizer, build_scheduler


def learning_rates(arguments: OptimizationArguments, steps: int) -> list[float]:
    optimizer = build_optimizer(nn.Linear(2, 2), arguments)
    scheduler = build_scheduler(optimizer, arguments, steps)
    rates = []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


def test_cosine_rises_over_the_warmup_and_falls_along_half_a_cosine():
    rates = learning_rates(OptimizationArguments(learning_rate=2.0, warmup_ratio=0.2), 20)
    assert rates[:5] == pytest.approx([0, 0.5, 1, 1.5, 2])
    expected = [1 + math.cos(math.pi * step / 16) for step in range(16)]
    assert rates[4:] == pytest.approx(expected)


def test_constant_stays_from_the_first_step_without_warmup():
    rates = learning_rates(OptimizationArguments(learning_rate=0.5, warmup_ratio=0, lr_scheduler="constant"), 4)
    assert rates == [0.5] * 4


def test_adamw_decays_matrices_and_no_vectors():
    model = nn.Linear(3, 3)
    groups = build_optimizer(model, OptimizationArguments(weight_decay=0.1)).param_groups
    decay = {id(weight): group["weight_decay"] for group in groups for weight in group["params"]}
    assert decay == {id(model.weight): 0.1, id(model.bias): 0.0}


def test_sgd_is_the_papers():
    model = nn.Linear(1, 1, bias=False)
    arguments = OptimizationArguments(optimizer="sgd", learning_rate=0.0015, momentum=0.9, weight_decay=5e-4)
    optimizer = build_optimizer(model, arguments)
    weight, velocity = model.weight.item(), 0.0
    for gradient in (1.0, -0.5, 2.0):
        model.weight.grad = torch.full_like(model.weight, gradient)
        optimizer.step()
        velocity = 0.9 * velocity + gradient + 5e-4 * weight
        weight -= 0.0015 * velocity
        assert model.weight.item() == pytest.approx(weight, rel=1e-6)


def test_frozen_weights_are_left_out_and_nothing_to_train_is_an_error():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    groups = build_optimizer(model, OptimizationArguments()).param_groups
    assert {id(weight) for group in groups for weight in group["params"]} == {id(w) for w in model[1].parameters()}
    with pytest.raises(ValueError, match="frozen"):
        build_optimizer(model.requires_grad_(False), OptimizationArguments())
