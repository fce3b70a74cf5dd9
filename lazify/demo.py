"""`python -m lazify demo`: an ordinary eager network, its classes lazified, trained on real images, checked.

The three classes below the imports know nothing of lazify. The network is built from them twice: by hand, with
every input size spelled out, and lazily, with none. Under one seed both must be the same network.
"""

import inspect
import re
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lazify import is_lazy, lazify

__all__ = ["run"]

SEED = 2024
EPOCHS = 8
BATCH = 64
TEST_IMAGES = 360


# ---------------------------------------------------------------------------------------------
# An ordinary eager network


class ConvBlock(nn.Module):
    """Convolution, normalisation, activation."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class ResidualBlock(nn.Module):
    """Two convolution blocks, and a projection of the input around them."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.first = ConvBlock(in_channels, out_channels, stride)
        self.second = ConvBlock(out_channels, out_channels)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.second(self.first(x)) + self.shortcut(x)
        return result


class Classifier(nn.Module):
    """Class scores from one feature vector an image."""

    def __init__(self, in_features: int, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.in_features = in_features
        self.hidden = nn.Linear(in_features, hidden)
        self.scores = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.scores(F.relu(self.hidden(x)))
        return scores


def eager_network() -> nn.Sequential:
    """By hand: every layer is told what the one before it gives. 512 is 32 channels of 4 x 4."""
    return _named(
        stem=ConvBlock(1, 16),
        block1=ResidualBlock(16, 16),
        block2=ResidualBlock(16, 32, stride=2),
        flatten=nn.Flatten(),
        classifier=Classifier(512, 64, num_classes=10),
    )


# ---------------------------------------------------------------------------------------------
# The same classes, lazily constructed: one line each

# `Callable[..., X]`: `type[X]` would have a type checker ask for the dropped arguments
LazyConvBlock: Callable[..., ConvBlock] = lazify(ConvBlock)
LazyResidualBlock: Callable[..., ResidualBlock] = lazify(ResidualBlock)
LazyClassifier: Callable[..., Classifier] = lazify(Classifier)


def lazy_network() -> nn.Sequential:
    """The same network; the first images tell the rest."""
    return _named(
        stem=LazyConvBlock(16),
        block1=LazyResidualBlock(16),
        block2=LazyResidualBlock(32, stride=2),
        flatten=nn.Flatten(),
        classifier=LazyClassifier(64, num_classes=10),
    )


def _named(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


# ---------------------------------------------------------------------------------------------
# Handwritten digits


@dataclass(frozen=True)
class Digits:
    """Images (N, 1, 8, 8) and the digits 0 to 9 that they show, (N)."""

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def load_digits() -> Digits:
    """1797 scanned handwritten digits that come with scikit-learn; the last ones are for testing.

    Raises:
        ModuleNotFoundError: without scikit-learn.
    """
    from sklearn import datasets

    images, labels = datasets.load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    y = torch.tensor(labels, dtype=torch.int64)
    return Digits(x[:-TEST_IMAGES], y[:-TEST_IMAGES], x[-TEST_IMAGES:], y[-TEST_IMAGES:])


def train(network: nn.Module, digits: Digits, epochs: int) -> None:
    """Adam on shuffled batches, the same ones for every network."""
    shuffle = torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    network.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(digits.images), generator=shuffle).split(BATCH):
            loss = F.cross_entropy(network(digits.images[batch]), digits.labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@torch.no_grad()
def count_right(network: nn.Module, digits: Digits) -> int:
    """How many of the test images are recognised."""
    network.eval()
    return int((network(digits.test_images).argmax(1) == digits.test_labels).sum())


# ---------------------------------------------------------------------------------------------
# Showing


def signature_table() -> Iterator[str]:
    """Original and lazified constructors side by side."""
    rows = [("class", "original", "lazified")]
    for eager, lazy in (
        (ConvBlock, LazyConvBlock),
        (ResidualBlock, LazyResidualBlock),
        (Classifier, LazyClassifier),
    ):
        rows.append((eager.__name__, _signature(eager), _signature(lazy)))
    return _aligned(rows)


def _signature(made_by: Callable[..., nn.Module]) -> str:
    return str(inspect.signature(made_by).replace(return_annotation=inspect.Signature.empty))


def changes(network: nn.Module, before: dict[str, str]) -> Iterator[str]:
    """What each lazy module was and is now."""
    rows = [("path", "before the first call", "after it")]
    rows += [(path, old, _explicit(old, network.get_submodule(path))) for path, old in before.items()]
    return _aligned(rows)


def _explicit(before: str, module: nn.Module) -> str:
    """The constructor call that makes this module, from the lazy one: each `name=?` is now an attribute."""
    arguments = before[before.index("(") :]
    return type(module).__name__ + re.sub(r"(\w+)=\?", lambda m: f"{m[1]}={getattr(module, m[1])}", arguments)


def _aligned(rows: list[tuple[str, str, str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()


# ---------------------------------------------------------------------------------------------
# The demo


class CheckFailed(Exception):
    """The lazy network is not the eager one."""


def check(passed: bool, message: str) -> None:
    if not passed:
        raise CheckFailed(message)


def run(epochs: int = EPOCHS) -> int:
    """Run the demo and give its exit code: 1 if the self-check fails, 2 if scikit-learn is missing."""
    try:
        digits = load_digits()
    except ModuleNotFoundError as error:
        print(
            f"the demo's images come with scikit-learn, which is not installed ({error})\n"
            "To install it:\n"
            "  python -m pip install scikit-learn",
            file=sys.stderr,
        )
        return 2
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for images this small, threads that wait for each other cost more than they bring
    try:
        _demonstrate(digits, epochs)
    except CheckFailed as failure:
        print(f"self-check FAILED: {failure}", file=sys.stderr)
        return 1
    finally:
        torch.set_num_threads(threads)
    return 0


def _demonstrate(digits: Digits, epochs: int) -> None:
    print("1. Three ordinary nn.Module classes, and what `lazify` makes of their constructors\n")
    print(*signature_table(), sep="\n")

    print("\n2. The first call: each lazy module becomes the real one, in place\n")
    eager, lazy = _make_both(digits)

    print("\n3. Training both on 8 x 8 images of handwritten digits\n")
    results = {"eager": _train_and_test(eager, digits, epochs), "lazy": _train_and_test(lazy, digits, epochs)}
    total = len(digits.test_images)
    for name, right in results.items():
        print(f"  {name:<5}  {right} of {total} test images right ({right / total:.1%})")
    check(results["eager"] == results["lazy"], f"different results after training: {results} of {total}")
    check(results["lazy"] > 0.8 * total, f"nothing was learned: {results['lazy']} of {total} test images right")

    count = sum(1 for _ in lazy.parameters())
    print(f"\nself-check passed: {count} parameters bit for bit those of the eager network, the same accuracy")


def _make_both(digits: Digits) -> tuple[nn.Module, nn.Module]:
    """Both networks under one seed: the eager one draws its parameters here, the lazy one at its first call."""
    torch.manual_seed(SEED)
    eager = eager_network()

    lazy = lazy_network()
    waiting = {path: module for path, module in lazy.named_modules() if is_lazy(module)}
    before = {path: repr(module) for path, module in waiting.items()}
    check(list(waiting) == ["stem", "block1", "block2", "classifier"], f"these modules are lazy: {list(waiting)}")
    torch.manual_seed(SEED)
    with torch.no_grad():
        lazy.eval()(digits.images[:1])
    print(*changes(lazy, before), sep="\n")

    for path, module in waiting.items():
        check(lazy.get_submodule(path) is module, f"{path} is another object than before its first call")
        check(type(module) is type(eager.get_submodule(path)), f"{path} is a {type(module)}")
    _check_same_state(eager, lazy)
    return eager, lazy


def _check_same_state(eager: nn.Module, lazy: nn.Module) -> None:
    expected, actual = eager.state_dict(), lazy.state_dict()
    check(list(expected) == list(actual), f"the lazy network holds {list(actual)}, the eager one {list(expected)}")
    for name, tensor in expected.items():
        check(torch.equal(tensor, actual[name]), f"{name} is not bit for bit that of the eager network")


def _train_and_test(network: nn.Module, digits: Digits, epochs: int) -> int:
    train(network, digits, epochs)
    return count_right(network, digits)
