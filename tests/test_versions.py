"""Versions of libraries."""

from __future__ import annotations

import numpy as np

from raytuner.versions import installed_version


def test_the_version_of_what_is_installed_and_of_what_is_not() -> None:
    assert installed_version("numpy") == np.__version__
    assert installed_version("no-such-package-as-this") == "not installed"
