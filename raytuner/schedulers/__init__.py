"""Schedulers: after how many questions a trial that will hardly win is stopped."""

from raytuner.schedulers.registry import FEWEST, FIFO, RACING, SCHEDULERS, check_one_by_one, check_scheduler, make_rule
from raytuner.schedulers.rule import Rule

__all__ = ["FEWEST", "FIFO", "RACING", "SCHEDULERS", "Rule", "check_one_by_one", "check_scheduler", "make_rule"]
