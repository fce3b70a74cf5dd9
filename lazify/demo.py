"""`python -m lazify demo`: an eager and a lazy network of the same classes, trained on real images and compared.

The three module classes below are ordinary PyTorch. The network is constructed from them twice: with every input size
as an argument, and lazily, with none. Under one seed both networks must have the same parameters and train alike.
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

from lazify import lazify, lazy_modules
from lazify.explain.tables import aligned

__all__ = ["run"]

SEED = 2024
EPOCHS = 8
BATCH = 64
TEST_IMAGES = 360


# ---------------------------------------------------------------------------------------------
# An eager network of ordinary classes


class ConvBlock(nn.Module):
    """A convolution, a normalisation and an activation."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class ResidualBlock(nn.Module):
    """Two convolution blocks, whose output is added to a projection of the input."""

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
    """Two linear layers: class scores from the feature vector of an image."""

    def __init__(self, in_features: int, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.in_features = in_features
        self.hidden = nn.Linear(in_features, hidden)
        self.scores = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.scores(F.relu(self.hidden(x)))
        return scores


def eager_network() -> nn.Sequential:
    """The network with every input size as an argument. 512 features: 32 channels of 4 x 4 pixels."""
    return _named(
        stem=ConvBlock(1, 16),
        block1=ResidualBlock(16, 16),
        block2=ResidualBlock(16, 32, stride=2),
        flatten=nn.Flatten(),
        classifier=Classifier(512, 64, num_classes=10),
    )


# ---------------------------------------------------------------------------------------------
# The same classes, lazily constructed

# `Callable[..., X]`: with `type[X]`, a type checker would require the dropped arguments
LazyConvBlock: Callable[..., ConvBlock] = lazify(ConvBlock)
LazyResidualBlock: Callable[..., ResidualBlock] = lazify(ResidualBlock)
LazyClassifier: Callable[..., Classifier] = lazify(Classifier)


def lazy_network() -> nn.Sequential:
    """The same network without input sizes, which the first images determine."""
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
    """Images of shape (N, 1, 8, 8) and labels 0 to 9 of shape (N,), for training and for testing."""

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def load_digits() -> Digits:
    """The 1797 scanned handwritten digits of scikit-learn; the last `TEST_IMAGES` of them are for testing.

    Raises:
        ModuleNotFoundError: if scikit-learn is not installed.
    """
    from sklearn import datasets

    images, labels = datasets.load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    y = torch.tensor(labels, dtype=torch.int64)
    return Digits(x[:-TEST_IMAGES], y[:-TEST_IMAGES], x[-TEST_IMAGES:], y[-TEST_IMAGES:])


def train(network: nn.Module, digits: Digits, epochs: int) -> None:
    """Train with Adam on shuffled batches, in the same order for every network."""
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
    """The number of test images that the network classifies correctly."""
    network.eval()
    return int((network(digits.test_images).argmax(1) == digits.test_labels).sum())


# ---------------------------------------------------------------------------------------------
# Tables


def signature_table() -> Iterator[str]:
    """Lines of a table of the original and the lazified constructors."""
    rows = [("class", "original", "lazified")]
    for eager, lazy in (
        (ConvBlock, LazyConvBlock),
        (ResidualBlock, LazyResidualBlock),
        (Classifier, LazyClassifier),
    ):
        rows.append((eager.__name__, _signature(eager), _signature(lazy)))
    return _indented_table(rows)


def _signature(constructor: Callable[..., nn.Module]) -> str:
    return str(inspect.signature(constructor).replace(return_annotation=inspect.Signature.empty))


def changes(network: nn.Module, before: dict[str, str]) -> Iterator[str]:
    """Lines of a table of the lazy modules and the modules that they became.

    Args:
        network: the network after its first call.
        before: path of a module -> `repr` of the module before the first call.
    """
    rows = [("path", "before the first call", "after it")]
    rows += [(path, old, _explicit_call(old, network.get_submodule(path))) for path, old in before.items()]
    return _indented_table(rows)


def _explicit_call(before: str, module: nn.Module) -> str:
    """The `repr` of a lazy module with the values of its attributes in place of `name=?`."""
    arguments = before[before.index("(") :]
    return type(module).__name__ + re.sub(r"(\w+)=\?", lambda m: f"{m[1]}={getattr(module, m[1])}", arguments)


def _indented_table(rows: list[tuple[str, str, str]]) -> Iterator[str]:
    return (f"  {line}" for line in aligned(rows, ["  ", "  "]))


# ---------------------------------------------------------------------------------------------
# The demo


class CheckFailed(Exception):
    """The lazy network differs from the eager one; the message says where."""


def check(passed: bool, message: str) -> None:
    """Raise `CheckFailed` with `message` unless `passed`."""
    if not passed:
        raise CheckFailed(message)


def run(epochs: int = EPOCHS) -> int:
    """Run the demo and return its exit code: 1 if the self-check fails, 2 if scikit-learn is missing."""
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
    torch.set_num_threads(1)  # with images this small, more threads are slower
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
    eager, lazy = _construct_both(digits)

    print("\n3. Training both on 8 x 8 images of handwritten digits\n")
    results = {"eager": _train_and_test(eager, digits, epochs), "lazy": _train_and_test(lazy, digits, epochs)}
    total = len(digits.test_images)
    for name, right in results.items():
        print(f"  {name:<5}  {right} of {total} test images right ({right / total:.1%})")
    check(results["eager"] == results["lazy"], f"different results after training: {results} of {total}")
    check(results["lazy"] > 0.8 * total, f"nothing was learned: {results['lazy']} of {total} test images right")

    count = sum(1 for _ in lazy.parameters())
    print(f"\nself-check passed: {count} parameters bit for bit those of the eager network, the same accuracy")


def _construct_both(digits: Digits) -> tuple[nn.Module, nn.Module]:
    """Construct both networks under one seed and call the lazy one, which then draws its parameters."""
    torch.manual_seed(SEED)
    eager = eager_network()

    lazy = lazy_network()
    modules = lazy_modules(lazy)
    before = {path: repr(module) for path, module in modules.items()}
    check(list(modules) == ["stem", "block1", "block2", "classifier"], f"these modules are lazy: {list(modules)}")
    torch.manual_seed(SEED)
    with torch.no_grad():
        lazy.eval()(digits.images[:1])
    print(*changes(lazy, before), sep="\n")

    for path, module in modules.items():
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
