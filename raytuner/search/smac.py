"""Bayesian optimisation with a random forest, by SMAC3."""

from __future__ import annotations

import math
import random
import tempfile

from smac import HyperparameterOptimizationFacade, Scenario
from smac.acquisition.function import EI
from smac.acquisition.maximizer import LocalAndSortedRandomSearch
from smac.main.config_selector import ConfigSelector
from smac.main.exceptions import ConfigurationSpaceExhaustedException
from smac.model.random_forest import RandomForest
from smac.runhistory import StatusType, TrialInfo, TrialValue
from smac.runhistory.encoder import RunHistoryEncoder

from raytuner.search.ask_tell import AskTellSearcher
from raytuner.search.config_space import ConfigSpace
from raytuner.search.task import Task
from raytuner.space import Raw

ENDLESS = 1_000_000
"""SMAC wants to know of a number of trials; raytuner counts them itself."""


class SmacSearcher(AskTellSearcher):
    """Suggests what SMAC's random forest expects most of.

    Args:
        task: What is searched.
        n_startup_trials: So many points are spread out first, by a Sobol sequence.
    """

    def __init__(self, task: Task, n_startup_trials: int) -> None:
        super().__init__(task)
        self._configs = ConfigSpace(task.space, task.seed)
        self._random = random.Random(task.seed)
        facade = HyperparameterOptimizationFacade
        with tempfile.TemporaryDirectory(prefix="raytuner-smac-") as folder:  # SMAC describes itself there
            scenario = Scenario(
                self._configs.configs, output_directory=folder, deterministic=True, n_trials=ENDLESS, seed=task.seed
            )
            # The facade's own models take the logarithm of the loss, which need not be positive here.
            self._smac = facade(
                scenario,
                model=RandomForest(self._configs.configs, n_trees=10, bootstrapping=True, seed=task.seed),
                acquisition_function=EI(),
                # Its own settings look at so many neighbours that a suggestion takes 10 seconds.
                acquisition_maximizer=LocalAndSortedRandomSearch(
                    self._configs.configs,
                    challengers=1000,
                    local_search_iterations=3,
                    max_steps=5,
                    n_steps_plateau_walk=2,
                    seed=task.seed,
                ),
                runhistory_encoder=RunHistoryEncoder(scenario),
                initial_design=facade.get_initial_design(scenario, n_configs=n_startup_trials),
                intensifier=facade.get_intensifier(scenario, max_config_calls=1),
                config_selector=ConfigSelector(scenario, retrain_after=1),
                logging_level=False,
                overwrite=True,
            )
        self._seed: int | None = 0  # of the function; SMAC takes that of the points told before it is asked, or its own
        self._infos: dict[str, TrialInfo] = {}
        self._worst = -math.inf
        self._failed: list[Raw] = []  # those that SMAC has not been told of

    def ask(self) -> Raw:
        """The next raw sample; one at random where SMAC holds its space to be exhausted."""
        try:
            info = self._smac.ask()
        except (ConfigurationSpaceExhaustedException, StopIteration):
            return self.space.draw(self._random)
        self._seed = info.seed
        raw = self._configs.raw(info.config)
        self._infos[self.space.key(raw)] = info
        return raw

    def expect(self, raw: Raw) -> None:
        """See `AskTellSearcher.expect`; SMAC does not suggest it again."""
        if self.space.key(raw) not in self._infos:
            self._smac.runhistory.add_running_trial(self._info(raw))

    def tell(self, raw: Raw, loss: float | None) -> None:
        """See `AskTellSearcher.tell`; a failure is as bad as the worst, and waits until there is one."""
        if loss is None:
            self._failed.append(raw)
        else:
            self._worst = max(self._worst, loss)
            self._smac.tell(self._info(raw), TrialValue(loss), save=False)
        if self._worst > -math.inf:
            for failed in self._failed:
                self._smac.tell(self._info(failed), TrialValue(self._worst, status=StatusType.CRASHED), save=False)
            self._failed.clear()

    def _info(self, raw: Raw) -> TrialInfo:
        """SMAC's own note of a point, whose text may differ from one that is made here."""
        key = self.space.key(raw)
        if key not in self._infos:
            self._infos[key] = TrialInfo(self._configs.config(raw), seed=self._seed)
        return self._infos[key]
