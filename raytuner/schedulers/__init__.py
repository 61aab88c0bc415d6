"""Schedulers: after how many questions a trial that will hardly win is stopped."""

from raytuner.schedulers.registry import FIFO, SCHEDULERS, check_scheduler, make_rule
from raytuner.schedulers.rule import Rule

__all__ = ["FIFO", "SCHEDULERS", "Rule", "check_scheduler", "make_rule"]
