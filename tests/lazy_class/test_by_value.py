"""Lazy and decorated classes that cloudpickle writes by value, read by a process that cannot import their module."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from helpers import by_value
from helpers.versions import ROOT

cloudpickle = pytest.importorskip("cloudpickle", reason="cloudpickle is not installed")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
READ = """
    import inspect
    import pickle
    import sys
    import torch
    from lazify import is_lazy

    read = pickle.load(sys.stdin.buffer)
    assert "helpers" not in sys.modules
"""


@pytest.fixture(scope="module")
def pickled() -> bytes:
    """What `helpers/by_value.py` writes as a script."""
    command = [sys.executable, by_value.__file__]
    return subprocess.run(command, env=ENVIRONMENT, check=True, stdout=subprocess.PIPE).stdout


def run(script: str, given: bytes) -> bytes:
    code = textwrap.dedent(READ) + textwrap.dedent(script)
    done = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_instances_are_what_they_were(pickled: bytes) -> None:
    script = """
        for kind in ("lazy", "real"):
            for name, module in read[kind].items():
                lazy = any(map(is_lazy, module.modules()))
                assert lazy == (kind == "lazy"), name
                output, state, made = read["called"](module) if lazy else read["expected"][name]
                wanted, values, made_before = read["expected"][name]
                assert torch.equal(output, wanted) and torch.equal(module(read["X"]), wanted), name
                assert made == made_before and state.keys() == values.keys() == module.state_dict().keys(), name
                assert all(torch.equal(each, values[key]) for key, each in module.state_dict().items()), name
                assert not module.training
    """
    run(script, pickled)


def test_classes_construct_as_before(pickled: bytes) -> None:
    script = """
        assert [str(inspect.signature(cls)) for cls in read["classes"]] == read["signatures"]
        assert [cls.__doc__ for cls in read["classes"]] == read["docs"]
        Decorated, Inherits, OwnConstructor, PassesOn, ByFunction, *others, LazyHead, LazyExpand = read["classes"]
        WithMetaclass, WithNew = others
        assert Inherits.__mro__[1] is Decorated and isinstance(read["real"]["Inherits"], Decorated)
        assert type(read["lazy"]["LazyHead"]) is LazyHead
        X = read["X"]
        for cls in (Decorated, Inherits, PassesOn, ByFunction, WithMetaclass, WithNew, LazyHead):
            module = cls(out_features=7)
            assert is_lazy(module) and repr(module).startswith("Lazy"), cls
            assert module(X).shape == (2, 7)
            assert type(module) is cls.__dict__.get("cls_to_become", cls), cls
            assert cls(in_features=4, out_features=7)(X).shape == (2, 7)
        assert OwnConstructor(3)(X).shape == (2, 3)
        assert LazyExpand(ratio=3)(X).shape == (2, 12)
        assert WithNew()(X) is not None and WithNew(in_features=4).made_by_new
        try:
            PassesOn(2.0)
        except TypeError as error:
            assert "PassesOn.__init__() takes 1 positional argument but 2 were given" in str(error), error
        else:
            raise AssertionError
    """
    run(script, pickled)


def test_what_was_read_can_be_pickled_again(pickled: bytes) -> None:
    again = run(
        """
        import cloudpickle

        read["lazy"]["Decorated"].note = "kept"
        sys.stdout.buffer.write(cloudpickle.dumps(read))
    """,
        pickled,
    )
    run(
        """
        module = read["lazy"]["Decorated"]
        assert is_lazy(module) and module.note == "kept"
        assert torch.equal(read["called"](module)[0], read["expected"]["Decorated"][0])
        assert read["lazy"]["LazyExpand"](read["X"]).shape == (2, 8)
    """,
        again,
    )


def test_threads_restore_a_class_once(pickled: bytes) -> None:
    script = """
        import threading

        cls, barrier, made = read["unused"], threading.Barrier(4), []

        def construct():
            barrier.wait()
            made.append(cls(out_features=2))

        threads = [threading.Thread(target=construct) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(made) == 4 and len({type(module) for module in made}) == 1
        assert all(is_lazy(module) and module(read["X"]).shape == (2, 2) for module in made)
    """
    run(script, pickled)


def test_within_one_process_the_class_stays_the_same() -> None:
    module = by_value.LazyExpand(ratio=2)
    cls, loaded = cloudpickle.loads(cloudpickle.dumps((type(module), module)))
    assert cls is type(loaded) is type(module)
    assert loaded(by_value.X).shape == (2, 8)
