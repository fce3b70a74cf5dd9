"""How a size follows from a parameter: relations read from two runs that differ in the parameter alone."""

from __future__ import annotations

__all__ = ["perturbations", "solve_affine", "solve_power"]

#: The highest power of a parameter in a size: the number of elements of a cube of patches.
HIGHEST_POWER = 3


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


def solve_power(value: int, step: int, before: int, after: int, target: int) -> int | None:
    """The same for a size in proportion to the square or cube of the value, such as a number of patches.

    Not for a target of 1, which passes nearly everything, by broadcasting.

    >>> solve_power(72, 72, 2 * 72 * 72, 2 * 144 * 144, 32)
    4
    """
    for power in range(2, HIGHEST_POWER + 1):
        if before > 0 and target > 1 and before * (value + step) ** power == after * value**power:
            solution = round((target * value**power / before) ** (1 / power))
            return solution if solution > 0 and before * solution**power == target * value**power else None
    return None
