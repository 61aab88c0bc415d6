"""Options are the keyword-only parameters of the function that makes an algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from raytuner.errors import SearchError
from raytuner.given_options import check, parameters

if TYPE_CHECKING:
    from nowhere import Searcher  # a return type that is known to type checkers only


def make(task: object, *, kind: Literal["a", "b"] = "a", count: int | None = None) -> Searcher:
    raise AssertionError("nothing is made to look at its options")


def test_the_options_are_the_keyword_only_parameters() -> None:
    assert {name: parameter.default for name, parameter in parameters(make).items()} == {"kind": "a", "count": None}


@pytest.mark.parametrize("options", [{}, {"kind": "b"}, {"count": None}, {"count": 3, "kind": "a"}])
def test_right_values(options: dict[str, object]) -> None:
    check("search 'far'", options, make)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kin": "a"}, "search 'far' has no option 'kin'; did you mean 'kind'. Valid: count, kind"),
        ({"task": 1}, "no option 'task'"),
        ({"kind": "c"}, "option kind of search 'far' is 'c'; it should be 'a' or 'b'"),
        ({"count": True}, "option count of search 'far' is True"),
        ({"count": 2.0}, "option count of search 'far' is 2.0"),
    ],
)
def test_wrong_names_and_values(options: dict[str, object], words: str) -> None:
    with pytest.raises(SearchError, match=words):
        check("search 'far'", options, make)


def test_the_options_of_several_functions_are_known_together() -> None:
    def other(task: object, *, width: float = 1.0) -> Searcher:
        raise AssertionError("nothing is made to look at its options")

    check("search 'far'", {"kind": "b", "width": 2.0}, make, other)
    with pytest.raises(SearchError, match="Valid: count, kind, width"):
        check("search 'far'", {"with": 1}, make, other)
