"""The fixtures of these tests."""

from ray_head import head

__all__ = ["head"]
