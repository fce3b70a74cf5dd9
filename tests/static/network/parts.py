"""Without a lazy class, and so without a stub."""

from torch import nn


class Base(nn.Module):
    def based(self) -> int:
        return 3


def helper(x: int) -> int:
    return x
