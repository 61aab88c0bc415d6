"""Runs one optimisation library for a parent process; a script that imports nothing of raytuner.

Each line on stdin is a request, a JSON object with an ``id``, each line on the former stdout its reply with the same
``id``: ``{"id", "point"}``, ``{"id", "ok": true}`` or ``{"id", "error"}``.

- ``{"op": "start", "system", "space", "seed", "options", "told", "pending"}``: once, first. A parameter of the space is
  ``{"kind": "choice", "size"}`` or ``{"kind": "int" or "float", "low", "high", "log"}``; a point is a list with a value
  for each, of a choice its position. ``told`` has pairs of a point and its loss, ``pending`` points without one yet.
- ``{"op": "ask"}``: a point to evaluate next; it is pending from then on.
- ``{"op": "pending", "point"}``: a point that is being evaluated without having been asked for.
- ``{"op": "tell", "point", "loss"}``: the loss of a point, asked for or not; null if it failed.

It ends when stdin does, whatever it is doing: that is how it notices that its parent is gone.
"""

from __future__ import annotations

import json
import math
import os
import queue
import random
import sys
import threading
import types
import warnings
from functools import partial
from typing import Any

MAX_LINE = 2**20
"""The most bytes of a line, both ways."""

Space = list[dict[str, Any]]
Point = list[Any]


class Adapter:
    """What is known of the points, for a library that is given all of it whenever it is asked.

    Args:
        space: The parameters, each with two values at least.
        seed: Of every random number.
        options: Of the library.
    """

    def __init__(self, space: Space, seed: int, options: dict[str, Any]) -> None:
        self.space = space
        self.seed = seed
        self.options = options
        self.told: list[tuple[Point, float | None]] = []
        self.pending: list[Point] = []

    def suggest(self) -> Point:
        """The next point."""
        raise NotImplementedError

    def tell(self, point: Point, loss: float | None) -> None:
        """Take note of a loss."""
        if point in self.pending:
            self.pending.remove(point)
        self.told.append((point, loss))

    def ask(self) -> Point:
        """The next point, pending from now on."""
        point = [plain(value, entry) for value, entry in zip(self.suggest(), self.space, strict=True)]
        self.pending.append(point)
        return point

    def losses(self) -> list[tuple[Point, float]]:
        """All points with a loss: of one that failed the worst seen, of a pending one the mean ("constant liar").

        Ginsbourger, Le Riche, Carraro: Kriging is well-suited to parallelize optimization (2010), section 3.3.
        """
        known = [loss for _, loss in self.told if loss is not None]
        if not known:
            return []
        mean, worst = math.fsum(known) / len(known), max(known)
        told = [(point, worst if loss is None else loss) for point, loss in self.told]
        return [*told, *((point, mean) for point in self.pending)]


def plain(value: Any, entry: dict[str, Any]) -> Any:
    """A value as a number of Python, within its bounds."""
    if entry["kind"] == "choice":
        return min(max(round(float(value)), 0), entry["size"] - 1)
    value = min(max(float(value), entry["low"]), entry["high"])
    return round(value) if entry["kind"] == "int" else value


class Nevergrad(Adapter):
    """Ask and tell of nevergrad; it knows of what it was asked for."""

    def __init__(self, space: Space, seed: int, options: dict[str, Any]) -> None:
        import nevergrad
        import numpy

        super().__init__(space, seed, options)
        random.seed(seed)
        numpy.random.seed(seed)
        parameters = nevergrad.p.Tuple(*(self._parameter(nevergrad.p, entry) for entry in space))
        parameters.random_state.seed(seed)
        make = nevergrad.optimizers.registry[options["optimizer"]]
        self.optimizer = make(parametrization=parameters, budget=options["budget"], num_workers=options["workers"])
        self.not_asked = nevergrad.errors.TellNotAskedNotSupportedError
        self.asked: list[tuple[Point, Any]] = []

    @staticmethod
    def _parameter(p: Any, entry: dict[str, Any]) -> Any:
        if entry["kind"] == "choice":
            return p.Choice(range(entry["size"]))
        kind = p.Log if entry["log"] else p.Scalar
        scalar = kind(lower=entry["low"], upper=entry["high"])
        return scalar.set_integer_casting() if entry["kind"] == "int" else scalar

    def suggest(self) -> Point:
        """The next point."""
        self.last = self.optimizer.ask()
        return list(self.last.value)

    def ask(self) -> Point:
        """The next point; what nevergrad knows it by is kept."""
        point = super().ask()
        self.asked.append((point, self.last))
        return point

    def tell(self, point: Point, loss: float | None) -> None:
        """Tell a loss; it has no failures, so one counts as the worst loss so far."""
        super().tell(point, loss)
        found = next((entry for entry in self.asked if entry[0] == point), None)
        if found is not None:
            self.asked.remove(found)
        known = [other for _, other in self.told if other is not None]
        if loss is None and not known:
            return
        candidate = found[1] if found else self.optimizer.parametrization.spawn_child(new_value=tuple(point))
        try:
            self.optimizer.tell(candidate, max(known) if loss is None else loss)
        except self.not_asked:  # some optimisers learn only from what they asked for
            return


class Hebo(Adapter):
    """HEBO, given all that is known as its data whenever it is asked."""

    def __init__(self, space: Space, seed: int, options: dict[str, Any]) -> None:
        import numpy
        import torch
        from hebo.design_space.design_space import DesignSpace
        from hebo.optimizers.hebo import HEBO

        super().__init__(space, seed, options)
        random.seed(seed)
        numpy.random.seed(seed)
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

    def suggest(self) -> Point:
        """The next point."""
        import numpy
        import pandas

        known = self.losses()
        optimizer = self.optimizer
        optimizer.X = pandas.DataFrame([point for point, _ in known], columns=self.names)
        optimizer.y = numpy.array([[loss] for _, loss in known]).reshape(-1, 1)
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


class Sigopt(Adapter):
    """The engine that SigOpt left for local use, without its service and its client."""

    def __init__(self, space: Space, seed: int, options: dict[str, Any]) -> None:
        import numpy

        module: Any = types.ModuleType("qmcpy")
        module.Halton, module.Sobol = partial(Sequence, "Halton"), partial(Sequence, "Sobol")
        sys.modules["qmcpy"] = module
        from sigoptlite.broker import Broker
        from sigoptlite.builders import LocalExperimentBuilder

        super().__init__(space, seed, options)
        random.seed(seed)
        numpy.random.seed(seed)
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

    def suggest(self) -> Point:
        """The next point; it takes failures as such."""
        failed = [(point, loss) for point, loss in self.told if loss is None]
        known = [(point, loss) for point, loss in self.losses() if not any(point is other for other, _ in failed)]
        self.broker.observations = [self._observation(point, loss) for point, loss in [*known, *failed]]
        self.broker.stored_suggestion = None
        found = self.broker.create_suggestion().assignments
        return [found[f"p{position:03}"] for position in range(len(self.space))]


class Dragonfly(Adapter):
    """Dragonfly's Bayesian optimisation, made anew from all that is known whenever it is asked."""

    def __init__(self, space: Space, seed: int, options: dict[str, Any]) -> None:
        import numpy

        # Built where there is a Fortran compiler, it would make results differ from those elsewhere.
        sys.modules["dragonfly.utils.direct_fortran.direct"] = None  # type: ignore[assignment]
        from dragonfly import load_config

        super().__init__(space, seed, options)
        random.seed(seed)
        numpy.random.seed(seed)
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

    def suggest(self) -> Point:
        """The next point."""
        first = self.options["first"] or max(5, len(self.space) + 1)
        if not self.first:
            self.first = self._optimizer(init_capital=None, num_init_evals=first).first_qinfos
        known = [(point, loss) for point, loss in self.losses() if not any(point is other for other in self.pending)]
        asked = len(self.told) + len(self.pending)
        if asked < first or len(known) < 2:
            return self._point(self.first[asked % first].point)
        told = [types.SimpleNamespace(point=self._processed(point), val=-loss, true_val=-loss) for point, loss in known]
        optimizer = self._optimizer(
            prev_evaluations=types.SimpleNamespace(qinfos=told), init_capital=None, num_init_evals=0
        )
        optimizer.eval_points_in_progress = [self._processed(point) for point in self.pending]
        optimizer.step_idx = len(told)
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


SYSTEMS: dict[str, type[Adapter]] = {"nevergrad": Nevergrad, "hebo": Hebo, "sigopt": Sigopt, "dragonfly": Dragonfly}


class Session:
    """Answers requests."""

    def __init__(self, systems: dict[str, type[Adapter]]) -> None:
        self.systems = systems
        self.adapter: Adapter | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to a request; an error of the library's is one of the reply."""
        try:
            return {"id": request["id"], **self._answer(request)}
        except Exception as error:  # whatever the library raises is for the parent to judge
            return {"id": request.get("id"), "error": f"{type(error).__name__}: {error}"[:500]}

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["op"] == "start":
            make = self.systems[request["system"]]
            self.adapter = make(request["space"], request["seed"], request["options"])
            for point, loss in request["told"]:
                self.adapter.tell(point, loss)
            self.adapter.pending += request["pending"]
            return {"ok": True}
        assert self.adapter is not None, "start comes first"
        if request["op"] == "ask":
            return {"point": self.adapter.ask()}
        if request["op"] == "pending":
            self.adapter.pending.append(request["point"])
        else:
            self.adapter.tell(request["point"], request["loss"])
        return {"ok": True}


def read_requests(requests: queue.Queue[bytes]) -> None:
    """Read lines as long as there are any, then end the process, even in the middle of a suggestion."""
    while line := sys.stdin.buffer.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            sys.stderr.write(f"a request has more than {MAX_LINE} bytes\n")
            sys.stderr.flush()
            break
        requests.put(line)
    os._exit(0)


def refuse_network(event: str, _arguments: Any) -> None:
    """Nothing here needs a network."""
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
        raise PermissionError(f"{event} is not allowed in this process")


def main(systems: dict[str, type[Adapter]] = SYSTEMS) -> None:
    """Answer requests until stdin ends."""
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print must not come between the replies
    sys.path.pop(0)  # the folder of this script is none of the library's
    warnings.simplefilter("ignore")
    sys.addaudithook(refuse_network)
    requests: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=read_requests, args=(requests,), daemon=True).start()
    session = Session(systems)
    while True:
        line = json.dumps(session.answer(json.loads(requests.get())), allow_nan=False) + "\n"
        replies.write(line.encode())


if __name__ == "__main__":
    main()
