"""Affine relations: sizes that grow in proportion with a parameter, read from two runs that differ in it alone."""

from __future__ import annotations

__all__ = ["perturbations", "solve_affine"]


def perturbations(value: int) -> tuple[int, ...]:
    """Changes of a value that keep what a constructor may check, divisibility above all, the likeliest first."""
    return (value, 24, 8, 4, 2, 1)


def solve_affine(value: int, step: int, before: int, after: int, target: int) -> int | None:
    """The positive whole value with which a size is `target`; None if there is none.

    The size is `before` with `value` and `after` with `value + step`.

    >>> solve_affine(48, 8, before=100, after=116, target=10)
    3
    """
    change, distance = after - before, (target - before) * step
    if not change or distance % change:
        return None
    solution = value + distance // change
    return solution if solution > 0 else None
