"""Numbers of channels that are a multiple or a fraction of another number of channels."""

import math

from lazify.errors import compose

__all__ = ["expanded", "expanded_channels", "reduced", "reduced_channels"]


def expanded_channels(in_channels: int, expansion_ratio: float) -> int:
    """The rule `out_channels = in_channels * expansion_ratio`."""
    return expanded(in_channels, expansion_ratio)


def reduced_channels(in_channels: int, reduction_ratio: float) -> int:
    """The rule `out_channels = in_channels / reduction_ratio`."""
    return reduced(in_channels, reduction_ratio)


def expanded(channels: int, ratio: float, channels_name: str = "in_channels", name: str = "expansion_ratio") -> int:
    """The number of channels `channels * ratio`.

    Args:
        channels: the number of channels to multiply.
        ratio: the factor.
        channels_name, name: the names of `channels` and `ratio` in error messages.

    Raises:
        ValueError: if the result is not a positive whole number.

    >>> expanded(24, 6), expanded(10, 1.1)
    (144, 11)
    >>> expanded(10, 1.25)
    Traceback (most recent call last):
    ValueError: expansion_ratio=1.25 makes no whole number of channels of 10
      expected: in_channels * expansion_ratio to be 1, 2, 3, ...
      actual:   10 * 1.25 = 12.5
    Fix:
      expansion_ratio=12 / 10
    """
    if (whole := _whole(channels * ratio)) is not None:
        return whole
    raise ValueError(
        compose(
            f"{name}={ratio} makes no whole number of channels of {channels}",
            [
                ("expected", f"{channels_name} * {name} to be 1, 2, 3, ..."),
                ("actual", f"{channels} * {ratio} = {channels * ratio:g}"),
            ],
            f"{name}={max(1, round(channels * ratio))} / {channels}",
        )
    )


def reduced(channels: int, ratio: float, channels_name: str = "in_channels", name: str = "reduction_ratio") -> int:
    """The number of channels `channels / ratio`.

    Args:
        channels: the number of channels to divide.
        ratio: the divisor.
        channels_name, name: the names of `channels` and `ratio` in error messages.

    Raises:
        ValueError: if the result is not a positive whole number.

    >>> reduced(64, 16), reduced(24, 1.5)
    (4, 16)
    >>> reduced(12, 16)
    Traceback (most recent call last):
    ValueError: reduction_ratio=16 does not divide 12 channels
      expected: in_channels / reduction_ratio to be 1, 2, 3, ...
      actual:   12 / 16 = 0.75
    Fix:
      reduction_ratio=12  # or 1, 2, 3, 4, 6
    """
    if ratio > 0 and (whole := _whole(channels / ratio)) is not None:
        return whole
    divisors = [each for each in range(1, channels + 1) if channels % each == 0]
    nearest = min(divisors, key=lambda each: abs(each - ratio))
    others = [str(each) for each in divisors if each != nearest]
    raise ValueError(
        compose(
            f"{name}={ratio} does not divide {channels} channels",
            [
                ("expected", f"{channels_name} / {name} to be 1, 2, 3, ..."),
                ("actual", f"{channels} / {ratio}" + (f" = {channels / ratio:g}" if ratio else "")),
            ],
            f"{name}={nearest}" + (f"  # or {', '.join(others)}" if others else ""),
        )
    )


def _whole(channels: float) -> int | None:
    """The positive integer equal to `channels` up to rounding errors (10 * 1.1 is 11.000000000000002), or None."""
    nearest = round(channels)
    return nearest if nearest > 0 and math.isclose(channels, nearest, rel_tol=1e-9) else None
