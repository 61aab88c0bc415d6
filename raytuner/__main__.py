"""`python -m raytuner` is the command line."""

from raytuner.cli import main

main()
