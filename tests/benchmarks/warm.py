"""The first grid of recipe.py twice, each in a new process with the same cache folder; Ray's start apart."""

from __future__ import annotations

import tempfile
from pathlib import Path

import common
import recipe
from recording import texts

SHARE = 0.25


def main() -> None:
    parser = common.parser(__doc__, data=recipe.DATA)
    parser.add_argument("--questions", type=int, default=60, help="for a quicker look; the goal is for all 60")
    args = parser.parse_args()
    grid = recipe.CASES[0].grid
    with tempfile.TemporaryDirectory() as scratch, common.cold_cache("minilm") as cache:
        folders = [Path(scratch) / name for name in ("first", "second")]
        first, second = (
            common.apart(recipe.run_raytuner, args.data, args.questions, grid, folder, cache=cache)
            for folder in folders
        )
        embedded, again = (len(texts(folder)) for folder in folders)
    assert embedded, "no text was embedded in the first run: the recording does not see what it should"
    assert first.scores == second.scores, "the second run has other scores"
    result = {"first_s": first.seconds, "second_s": second.seconds, "embedded_second": again}
    rows = [
        common.Row("first run", common.figure(first.seconds, " s")),
        common.Row("second run", common.figure(second.seconds, " s")),
        common.at_most("share of the time", second.seconds / first.seconds, SHARE),
        common.Row("embedded by the first", str(embedded)),
        common.exactly("embedded by the second", again, 0),
    ]
    common.show(args, f"Warm: the first grid of the recipe again, {args.questions} questions", rows, result)


if __name__ == "__main__":
    main()
