"""Print the optional extras that pytest has a mark for, one a line."""

from pathlib import Path

import tomllib

project = tomllib.loads(Path("pyproject.toml").read_text())
marks = {mark.partition(":")[0] for mark in project["tool"]["pytest"]["ini_options"]["markers"]}
print(*sorted(marks & set(project["project"]["optional-dependencies"])), sep="\n")
