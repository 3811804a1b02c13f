"""Parameter groups, and the learning rate at given steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from bench.config import TrainOptions
from bench.contracts import Vocabulary
from bench.errors import UsageError
from bench.optim import learning_rate_factor, optimiser, scheduler
from tests.tiny_models import CASES, tiny_model
from tests.toys import Toy, ToyOptions

STEPS = 10
"""Steps an epoch."""


def factor(**options: Any) -> Callable[[int], float]:
    return learning_rate_factor(TrainOptions(**{"epochs": 10, **options}), STEPS)


class Grouped(Toy):
    """A toy with two groups, one at a tenth of the rate."""

    def parameter_groups(self) -> dict[str, tuple[list[nn.Parameter], float]]:
        slow = [*self.text.parameters(), *self.norm.parameters()]
        taken = {id(parameter) for parameter in slow}
        return {"slow": (slow, 0.1), "rest": ([p for p in self.parameters() if id(p) not in taken], 1.0)}


class Forgetful(Toy):
    """A toy whose groups leave out the classifier."""

    def parameter_groups(self) -> dict[str, tuple[list[nn.Parameter], float]]:
        return {"towers": ([*self.text.parameters(), *self.image.parameters(), *self.norm.parameters()], 1.0)}


class Twice(Toy):
    """A toy that names its text tower twice."""

    def parameter_groups(self) -> dict[str, tuple[list[nn.Parameter], float]]:
        return {"all": (list(self.parameters()), 1.0), "text": (list(self.text.parameters()), 0.1)}


def toy(kind: type[Toy] = Grouped) -> Toy:
    return kind(ToyOptions(), Vocabulary(20, 4))


class TestFactor:
    def test_constant(self) -> None:
        assert {factor(schedule="constant")(step) for step in range(2 * 10 * STEPS)} == {1.0}

    def test_warm_up_rises_to_one_and_no_step_is_at_zero(self) -> None:
        rising = [factor(schedule="constant", warmup_epochs=0.5)(step) for step in range(7)]
        assert rising == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0])

    def test_cosine_falls_from_one_to_zero(self) -> None:
        falling = factor(schedule="cosine")
        assert [falling(step) for step in (0, 25, 50, 75, 100)] == pytest.approx([1.0, 0.853553, 0.5, 0.146447, 0.0], abs=1e-6)
        assert falling(99) > 0
        assert falling(140) == pytest.approx(0.0, abs=1e-12)

    def test_cosine_begins_where_the_warm_up_ends(self) -> None:
        falling = factor(schedule="cosine", warmup_epochs=2)
        assert [falling(step) for step in (0, 9, 19, 20, 60, 100)] == pytest.approx([0.05, 0.5, 1.0, 1.0, 0.5, 0.0])

    def test_multistep_falls_after_its_milestones(self) -> None:
        steps = factor(schedule="multistep", milestones=(2, 5), gamma=0.5)
        assert [steps(step) for step in (0, 19, 20, 49, 50, 99)] == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]

    def test_milestones_count_from_the_start_of_training_and_in_any_order(self) -> None:
        steps = factor(schedule="multistep", milestones=(5, 2), gamma=0.5, warmup_epochs=1)
        assert [steps(step) for step in (0, 9, 10, 19, 20, 50)] == [0.1, 1.0, 1.0, 1.0, 0.5, 0.25]

    @pytest.mark.parametrize("schedule", ["cosine", "multistep", "constant"])
    def test_a_warm_up_as_long_as_the_training(self, schedule: str) -> None:
        rising = factor(schedule=schedule, warmup_epochs=10, milestones=(20,))
        assert [rising(0), rising(99)] == pytest.approx([0.01, 1.0])


class TestGroups:
    def test_vectors_go_without_decay(self) -> None:
        groups = optimiser(toy(), TrainOptions(lr=1.0, weight_decay=0.3)).param_groups
        for group in groups:
            assert group["weight_decay"] == (0.3 if group["name"].endswith("matrices") else 0.0)
            assert all((parameter.ndim > 1) == group["name"].endswith("matrices") for parameter in group["params"])
        assert [group["name"] for group in groups] == ["slow, matrices", "slow, vectors", "rest, matrices", "rest, vectors"]

    def test_decay_all(self) -> None:
        groups = optimiser(toy(), TrainOptions(weight_decay=0.3, decay_all=True)).param_groups
        assert {group["weight_decay"] for group in groups} == {0.3}
        assert sum(len(group["params"]) for group in groups) == len(list(toy().parameters()))

    def test_each_group_has_its_rate(self) -> None:
        model = toy()
        optimise = optimiser(model, TrainOptions(lr=0.5))
        rates = {id(parameter): group["lr"] for group in optimise.param_groups for parameter in group["params"]}
        assert rates[id(model.text.weight)] == rates[id(model.norm.bias)] == pytest.approx(0.05)
        assert rates[id(model.image.weight)] == rates[id(model.classes.bias)] == 0.5

    def test_the_schedule_multiplies_every_rate(self) -> None:
        optimise = optimiser(toy(), TrainOptions(lr=0.5))
        schedule = scheduler(optimise, TrainOptions(lr=0.5, epochs=1, schedule="cosine"), steps_per_epoch=2)
        seen = []
        for _ in range(2):
            seen.append([group["lr"] for group in optimise.param_groups])
            optimise.step()
            schedule.step()
        assert seen == [pytest.approx([0.05, 0.05, 0.5, 0.5]), pytest.approx([0.025, 0.025, 0.25, 0.25])]
        assert schedule.get_last_lr() == pytest.approx([0.0] * 4)

    def test_frozen_parameters_are_in_no_group_and_stay(self) -> None:
        model = toy()
        model.text.requires_grad_(False)
        optimise = optimiser(model, TrainOptions(lr=0.5))
        members = {id(parameter) for group in optimise.param_groups for parameter in group["params"]}
        assert members == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
        before = model.text.weight.clone()
        sum(parameter.sum() for parameter in model.parameters()).backward()
        optimise.step()
        assert torch.equal(model.text.weight, before)

    @pytest.mark.parametrize(("name", "preset"), CASES)
    def test_each_trainable_parameter_of_a_model_is_in_one_group(self, name: str, preset: str | None) -> None:
        model = tiny_model(name, preset)
        members = [id(p) for group in optimiser(model, TrainOptions()).param_groups for p in group["params"]]
        assert sorted(members) == sorted(id(parameter) for parameter in model.parameters() if parameter.requires_grad)

    def test_a_parameter_left_out_would_silently_not_be_trained(self) -> None:
        with pytest.raises(UsageError, match=r"Forgetful\.parameter_groups\(\) must name .* once; classes\.weight stands in 0 groups"):
            optimiser(toy(Forgetful), TrainOptions())

    def test_a_parameter_in_two_groups(self) -> None:
        with pytest.raises(UsageError, match=r"text\.weight stands in 2 groups"):
            optimiser(toy(Twice), TrainOptions())

    def test_nothing_to_train(self) -> None:
        model = toy()
        model.requires_grad_(False)
        with pytest.raises(UsageError, match="Grouped has no parameter to train"):
            optimiser(model, TrainOptions())
