"""What mypy must say of a user's code: each unused `type: ignore` is an error under --warn-unused-ignores."""

from typing_extensions import assert_type

from raytuner import RayTuneParamTuner, RunResult, TuneConfig

result = RunResult(score=0.5, params={"top_k": 2})
assert_type(result.score, float)
assert_type(TuneConfig.load("rag.yaml"), TuneConfig)
RunResult(score="high", params={})  # type: ignore[arg-type]
RayTuneParamTuner(param_fn=3, param_dict={})  # type: ignore[arg-type]
TuneConfig.load("rag.yaml", no_such_argument=1)  # type: ignore[call-arg]
