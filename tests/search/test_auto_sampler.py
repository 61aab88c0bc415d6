"""`auto` for Optuna's own users."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from ray import tune

from raytuner.errors import SpaceError
from raytuner.search.auto_sampler import AutoSampler

SPACE: dict[str, Any] = {
    "size": [128, 256, 512],
    "retriever": ["bm25", "hybrid"],
    "weight": {"float": [0, 1], "step": 0.25, "when": {"retriever": "hybrid"}},
    "cutoff": {"float": [0.001, 1], "log": True},
    "top_k": {"int": [1, 10]},
}


def objective(trial: optuna.Trial) -> float:
    size = trial.suggest_categorical("size", [128, 256, 512])
    score = -abs(trial.suggest_int("top_k", 1, 10) - 4) / 10 + size / 512
    if trial.suggest_categorical("retriever", ["bm25", "hybrid"]) == "hybrid":
        score += 0.5 - (trial.suggest_float("weight", 0, 1, step=0.25) - 0.5) ** 2
    return score - trial.suggest_float("cutoff", 0.001, 1, log=True)


def study(direction: str = "maximize", **options: Any) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction=direction, sampler=AutoSampler(SPACE, **options))


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_it_learns_in_both_directions(direction: str, sign: int) -> None:
    made = study(direction, seed=1)
    made.optimize(lambda trial: sign * objective(trial), n_trials=25)
    assert sign * made.best_value > 1.4
    assert made.best_params["weight"] == 0.5


def test_the_seed_fixes_the_sequence_and_nothing_repeats() -> None:
    runs = []
    for seed in (3, 3, 4):
        made = study(seed=seed)
        made.optimize(objective, n_trials=12)
        runs.append([trial.params for trial in made.trials])
    assert runs[0] == runs[1] != runs[2]
    assert len({str(params) for params in runs[0]}) == 12


def test_inactive_parameters_are_not_asked_for() -> None:
    made = study()
    made.optimize(objective, n_trials=15)
    for trial in made.trials:
        assert ("weight" in trial.params) == (trial.params["retriever"] == "hybrid")


def test_failed_running_and_foreign_trials() -> None:
    made = study()
    made.add_trial(
        optuna.create_trial(
            params={"size": 999}, distributions={"size": optuna.distributions.CategoricalDistribution([999])}, value=9.0
        )
    )
    running = [made.ask() for _ in range(3)]
    for trial in running:
        objective(trial)
    assert len({str(trial.params) for trial in running}) == 3
    made.tell(running[0], state=TrialState.FAIL)
    made.tell(running[1], 0.5)
    made.optimize(objective, n_trials=3)
    assert len({str(trial.params) for trial in made.trials}) == 7


def test_what_is_not_in_the_space_is_drawn_at_random() -> None:
    made = study()
    made.optimize(lambda trial: objective(trial) + 0 * trial.suggest_float("other", 0, 1), n_trials=5)
    assert len({trial.params["other"] for trial in made.trials}) == 5


def test_a_space_that_optuna_lacks_is_refused() -> None:
    with pytest.raises(SpaceError, match="p: Optuna has no normal distribution; give bounds"):
        AutoSampler({"p": tune.randn(0, 1)})
