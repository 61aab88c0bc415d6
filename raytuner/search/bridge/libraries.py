"""The libraries that `child` runs, each behind the same two methods; imports nothing of raytuner.

A point is a list with a value for each parameter, of a choice its position, as `child` describes it. Most libraries
are given all that is known whenever they are asked, so nothing is lost when a process is replaced by another.
"""

from __future__ import annotations

import difflib
import math
import random
import sys
import types
from functools import partial
from typing import Any

Space = list[dict[str, Any]]
Point = list[Any]


class OptionError(Exception):
    """An option that the user can mend; the message names the value, the rule and the fix."""


class Library:
    """A library with the state of one search.

    Args:
        space: The parameters, each with two values at least.
        options: Of the library.
    """

    def __init__(self, space: Space, options: dict[str, Any]) -> None:
        self.space = space
        self.options = options

    def suggest(self, known: Any) -> Point:
        """The next point.

        Args:
            known: What is known so far, `child.Known`.
        """
        raise NotImplementedError

    def tell(self, known: Any, point: Point, loss: float | None) -> None:
        """Take note of a loss, which is in what is known already; None if the point failed."""


def seed_all(number: int) -> None:
    """Seed the random numbers that libraries share."""
    import numpy

    random.seed(number)
    numpy.random.seed(number)
    generator: Any = numpy.random.default_rng

    def seeded(seed: Any = None) -> Any:
        return generator(numpy.random.randint(2**31) if seed is None else seed)

    numpy.random.default_rng = seeded  # pymoo, which HEBO uses, makes generators without a seed


class Nevergrad(Library):
    """Ask and tell of nevergrad; it knows of what it was asked for."""

    def __init__(self, space: Space, seed: int, options: dict[str, Any]) -> None:
        import nevergrad

        super().__init__(space, options)
        seed_all(seed)
        parameters = nevergrad.p.Tuple(*(self._parameter(nevergrad.p, entry) for entry in space))
        parameters.random_state.seed(seed)
        self.optimizer = self._optimizer(nevergrad.optimizers.registry, parameters)
        self.not_asked = nevergrad.errors.TellNotAskedNotSupportedError
        self.asked: list[tuple[Point, Any]] = []

    @staticmethod
    def _parameter(p: Any, entry: dict[str, Any]) -> Any:
        if entry["kind"] == "choice":
            return p.Choice(range(entry["size"]), deterministic=True)  # drawn from weights, a good value seldom stays
        kind = p.Log if entry["log"] else p.Scalar
        scalar = kind(lower=entry["low"], upper=entry["high"])
        return scalar.set_integer_casting() if entry["kind"] == "int" else scalar

    def _optimizer(self, registry: Any, parameters: Any) -> Any:
        name = self.options["optimizer"]
        if name not in registry:
            near = ", ".join(difflib.get_close_matches(str(name), registry, cutoff=0.3)) or "NGOpt"
            raise OptionError(
                f"option optimizer is {name!r}; did you mean one of {near}? nevergrad.optimizers has them all"
            )
        try:
            return registry[name](parameters, budget=self.options["budget"], num_workers=self.options["workers"])
        except ImportError as error:
            raise OptionError(f"option optimizer is {name!r}, which needs more than is installed ({error})") from None

    def suggest(self, known: Any) -> Point:
        """The next point; what nevergrad knows it by is kept."""
        candidate = self.optimizer.ask()
        self.asked.append(([*candidate.value], candidate))
        return [*candidate.value]

    def tell(self, known: Any, point: Point, loss: float | None) -> None:
        """Tell a loss; it has no failures, so one counts as the worst loss so far."""
        found = next((entry for entry in self.asked if entry[0] == point), None)
        if found is not None:
            self.asked.remove(found)
        losses = [other for _, other in known.losses(pending=False)]
        if not losses:
            return
        candidate = found[1] if found else self.optimizer.parametrization.spawn_child(new_value=tuple(point))
        try:
            self.optimizer.tell(candidate, losses[-1])
        except self.not_asked:  # some optimisers learn only from what they asked for
            return


class Hebo(Library):
    """HEBO, given all that is known as its data whenever it is asked."""

    def __init__(self, space: Space, seed: int, options: dict[str, Any]) -> None:
        import torch
        from hebo.design_space.design_space import DesignSpace
        from hebo.optimizers.hebo import HEBO

        super().__init__(space, options)
        seed_all(seed)
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        self.names = [f"p{position}" for position in range(len(space))]
        parsed = [self._parameter(name, entry) for name, entry in zip(self.names, space, strict=True)]
        self.optimizer = HEBO(
            DesignSpace().parse(parsed), model_name=options["model"], rand_sample=options["first"], scramble_seed=seed
        )

    @staticmethod
    def _parameter(name: str, entry: dict[str, Any]) -> dict[str, Any]:
        if entry["kind"] == "choice":
            return {"name": name, "type": "cat", "categories": list(range(entry["size"]))}
        kind = {("int", False): "int", ("int", True): "pow_int", ("float", False): "num", ("float", True): "pow"}
        return {"name": name, "type": kind[entry["kind"], entry["log"]], "lb": entry["low"], "ub": entry["high"]}

    def suggest(self, known: Any) -> Point:
        """The next point."""
        import numpy
        import pandas

        losses = known.losses(pending=True)
        optimizer = self.optimizer
        optimizer.X = pandas.DataFrame([point for point, _ in losses], columns=self.names)
        optimizer.y = numpy.array([[loss] for _, loss in losses]).reshape(-1, 1)
        return list(optimizer.suggest(1)[self.names].iloc[0])


class Sequence:
    """A quasi-random sequence of SciPy's in place of the one of qmcpy 1.2, which has to be compiled."""

    def __init__(self, kind: str, dimension: int, seed: Any = None, **_: Any) -> None:
        from scipy.stats import qmc

        self.sequence = getattr(qmc, kind)(dimension, scramble=True, seed=seed)

    def gen_samples(self, n_min: int, n_max: int) -> Any:
        """The points with these numbers."""
        if n_min:
            self.sequence.fast_forward(n_min)
        return self.sequence.random(n_max - (n_min or 0))


class Sigopt(Library):
    """The engine that SigOpt left for local use, without its service and its client."""

    def __init__(self, space: Space, seed: int, options: dict[str, Any]) -> None:
        module: Any = types.ModuleType("qmcpy")
        module.Halton, module.Sobol = partial(Sequence, "Halton"), partial(Sequence, "Sobol")
        sys.modules["qmcpy"] = module
        from sigoptlite.broker import Broker
        from sigoptlite.builders import LocalExperimentBuilder

        super().__init__(space, options)
        seed_all(seed)
        parameters = [self._parameter(f"p{position:03}", entry) for position, entry in enumerate(space)]
        metrics = [{"name": "score", "objective": "maximize", "strategy": "optimize"}]
        experiment = {"name": "raytuner", "parameters": parameters, "metrics": metrics, "parallel_bandwidth": 1}
        self.experiment = LocalExperimentBuilder({**experiment, "observation_budget": options["budget"]})
        self.broker = Broker(self.experiment)

    @staticmethod
    def _parameter(name: str, entry: dict[str, Any]) -> dict[str, Any]:
        if entry["kind"] == "choice":
            return {
                "name": name,
                "type": "categorical",
                "categorical_values": [f"{i:09}" for i in range(entry["size"])],
            }
        bounds = {"min": entry["low"], "max": entry["high"]}
        if entry["log"]:
            return {"name": name, "type": "double", "bounds": bounds, "transformation": "log"}
        return {"name": name, "type": "int" if entry["kind"] == "int" else "double", "bounds": bounds}

    def _assignments(self, point: Point) -> dict[str, Any]:
        return {
            f"p{position:03}": f"{value:09}" if entry["kind"] == "choice" else value
            for position, (value, entry) in enumerate(zip(point, self.space, strict=True))
        }

    def _observation(self, point: Point, loss: float | None) -> Any:
        from sigoptlite.builders import LocalObservationBuilder

        values = None if loss is None else [{"name": "score", "value": -loss}]
        told = {"assignments": self._assignments(point), "values": values, "failed": loss is None, "task": None}
        return LocalObservationBuilder(input_dict=told, experiment=self.experiment)

    def suggest(self, known: Any) -> Point:
        """The next point; it takes failures as such, and has nothing to suggest where all was tried."""
        from sigoptlite.sources import RandomSearchSource

        losses = known.losses(pending=True)
        failed = [point for point, loss in known.told if loss is None]
        told = [(point, loss) for point, loss in losses if not any(point is other for other in failed)]
        told += [(point, None) for point in failed]
        self.broker.observations = [self._observation(point, loss) for point, loss in told]
        self.broker.stored_suggestion = None
        try:
            found = self.broker.create_suggestion().assignments
        except IndexError:
            found = RandomSearchSource(self.experiment).get_suggestion(self.broker.observations).assignments
        return [found[f"p{position:03}"] for position in range(len(self.space))]


class Dragonfly(Library):
    """Dragonfly's Bayesian optimisation, made anew from all that is known whenever it is asked."""

    def __init__(self, space: Space, seed: int, options: dict[str, Any]) -> None:
        # Built where there is a Fortran compiler, it would make results differ from those elsewhere.
        sys.modules["dragonfly.utils.direct_fortran.direct"] = None  # type: ignore[assignment]
        from dragonfly import load_config

        super().__init__(space, options)
        seed_all(seed)
        domain = [self._parameter(f"p{position}", entry) for position, entry in enumerate(space)]
        self.config = load_config({"name": "raytuner", "domain": domain})
        self.first: list[Any] = []

    @staticmethod
    def _parameter(name: str, entry: dict[str, Any]) -> dict[str, Any]:
        if entry["kind"] == "choice":
            return {"name": name, "type": "discrete", "items": [str(i) for i in range(entry["size"])]}
        if entry["log"]:
            return {"name": name, "type": "float", "min": math.log(entry["low"]), "max": math.log(entry["high"])}
        return {"name": name, "type": entry["kind"], "min": entry["low"], "max": entry["high"]}

    def _optimizer(self, **options: Any) -> Any:
        from dragonfly.exd.experiment_caller import CPFunctionCaller
        from dragonfly.opt.gp_bandit import CPGPBandit, get_all_cp_gp_bandit_args
        from dragonfly.utils.option_handler import load_options
        from dragonfly.utils.reporters import get_reporter

        caller = CPFunctionCaller(None, self.config.domain, domain_orderings=self.config.domain_orderings)
        defaults = load_options(get_all_cp_gp_bandit_args())
        # By default it also draws hyperparameters by slice sampling, which takes ten times as long as all the rest.
        likelihood = {"gpb_hp_tune_criterion": "ml"}
        chosen = types.SimpleNamespace(
            **{**vars(defaults), "acq": self.options["acquisition"], **likelihood, **options}
        )
        CPGPBandit.num_workers = 1  # not set in this mode, yet read
        optimizer = CPGPBandit(caller, options=chosen, reporter=get_reporter("silent"), ask_tell_mode=True)
        optimizer.initialise()
        return optimizer

    def suggest(self, known: Any) -> Point:
        """The next point."""
        first = self.options["first"] or max(5, len(self.space) + 1)
        if not self.first:
            self.first = self._optimizer(init_capital=None, num_init_evals=first).first_qinfos
        asked = len(known.told) + len(known.pending)
        losses = known.losses(pending=False)
        if asked < first or len(losses) < 2:
            return self._point(self.first[asked % first].point)
        qinfos = [types.SimpleNamespace(point=self._processed(p), val=-loss, true_val=-loss) for p, loss in losses]
        told = types.SimpleNamespace(qinfos=qinfos)
        optimizer = self._optimizer(prev_evaluations=told, init_capital=None, num_init_evals=0)
        optimizer.eval_points_in_progress = [self._processed(point) for point in known.pending]
        optimizer.step_idx = len(qinfos)
        optimizer._build_new_model()
        optimizer._main_loop_pre()
        return self._point(optimizer._determine_next_query().point)

    def _processed(self, point: Point) -> Any:
        from dragonfly.exd.cp_domain_utils import get_processed_from_raw_via_config

        values = [
            str(value) if entry["kind"] == "choice" else math.log(value) if entry["log"] else value
            for value, entry in zip(point, self.space, strict=True)
        ]
        return get_processed_from_raw_via_config(values, self.config)

    def _point(self, processed: Any) -> Point:
        from dragonfly.exd.cp_domain_utils import get_raw_from_processed_via_config

        values = get_raw_from_processed_via_config(processed, self.config)
        return [math.exp(value) if entry.get("log") else value for value, entry in zip(values, self.space, strict=True)]


SYSTEMS: dict[str, type[Library]] = {"nevergrad": Nevergrad, "hebo": Hebo, "sigopt": Sigopt, "dragonfly": Dragonfly}
