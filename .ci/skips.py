"""Fail if pytest skipped a test that is not in the list of allowed skips."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Compare the SKIPPED lines of a pytest log with the list."""
    allowed_file, log = map(Path, sys.argv[1:3])
    allowed = [line.strip() for line in allowed_file.read_text().splitlines() if line.strip() and line[0] != "#"]
    skipped = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("SKIPPED")]
    surprising = [line for line in skipped if not any(part in line for part in allowed)]
    print(f"{len(skipped)} lines of skipped tests, {len(surprising)} of them not allowed")
    for line in surprising:
        print(f"not allowed: {line}")
    return 1 if surprising else 0


if __name__ == "__main__":
    sys.exit(main())
