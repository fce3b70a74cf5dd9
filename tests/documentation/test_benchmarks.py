"""The benchmarks run, and what they make of what they measured is right; how long anything takes is not asserted."""

import doctest
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import report, rounds
from benchmarks.__main__ import main
from benchmarks.contenders import CONTROL, LAZIFY, OURS, TORCH, TORCHLAYERS
from benchmarks.measures import MEASURES, QUICK
from benchmarks.models import PROBLEMS, constructed_and_called, convs, linears
from benchmarks.report import BEGIN, END, Results, block, heading, load, save, table, with_block
from benchmarks.rounds import EAGER, Row, Spread, compared, interleaved, paired, spread
from lazify import is_lazy, lazy_modules

ROOT = Path(__file__).parent.parent.parent


def ratio(median: float) -> Spread:
    return Spread(median, median * 0.9, median * 1.1, 5)


RESULTS = Results(
    date="2026-01-02",
    command="python -m benchmarks",
    versions={"lazify": "0.1", "torch": "2.13"},
    machine="a processor, Linux",
    notes=("A note.",),
    rows=(
        Row(
            "first call",
            "first call, convs",
            {CONTROL: ratio(1.0), TORCH: ratio(1.7), TORCHLAYERS: None, LAZIFY: ratio(1.2)},
            ratio(0.004),
            target="<= 1.15",
        ),
        Row("memory", "peak memory", {LAZIFY: ratio(1.0)}, ratio(4e8), unit="B"),
        Row("shapes", "shapes", {LAZIFY: ratio(10.0)}, ratio(0.05), target="< 60 s", absolute=True),
        *(
            Row(f"{what}, scale", f"{n} modules", {TORCH: ratio(2.0), LAZIFY: ratio(1.2)}, ratio(0.1), modules=n)
            for what in ("construct + first call", "materialize")
            for n in (10, 100)
        ),
        Row("growth", "cost per module", {EAGER: ratio(1.01), LAZIFY: ratio(0.99)}),
        *(
            Row("search", f"search, {which}", {LAZIFY: ratio(n)}, ratio(0.0002))
            for which, n in (("first", 300.0), ("hundredth", 1.2), ("together", 4.0))
        ),
    ),
)


# the arithmetic


@pytest.mark.parametrize("module", [report, rounds])
def test_examples(module):
    failed, attempted = doctest.testmod(module)
    assert (failed, attempted > 0) == (0, True)


def test_ratios_are_of_the_same_round():
    assert paired([2.0, 30.0, 400.0], [1.0, 10.0, 100.0]) == Spread(3.0, 2.5, 3.5, 3)


def test_one_round_has_no_spread():
    assert spread([2.0]) == Spread(2.0, 2.0, 2.0, 1)


def test_every_contender_runs_once_a_round_after_warming_up():
    ran = []
    seconds = interleaved({name: lambda name=name: ran.append(name) for name in "abc"}, rounds=4)
    assert {name: len(times) for name, times in seconds.items()} == {"a": 4, "b": 4, "c": 4}
    assert [sorted(ran[at : at + 3]) for at in range(0, len(ran), 3)] == [["a", "b", "c"]] * 5
    assert len({tuple(ran[at : at + 3]) for at in range(3, len(ran), 3)}) > 1  # not always in the same order


def test_only_torchlayers_may_fail():
    def fails():
        raise TypeError("no")

    seconds = interleaved({EAGER: int, TORCHLAYERS: fails}, rounds=2)
    assert seconds[TORCHLAYERS] is None
    with pytest.raises(TypeError, match="no"):
        interleaved({EAGER: int, LAZIFY: fails}, rounds=2)


def test_a_row_from_seconds():
    row = compared("group", "what", {EAGER: [1.0, 2.0], LAZIFY: [2.0, 4.0], TORCHLAYERS: None}, target="flat")
    ratios = {LAZIFY: Spread(2.0, 2.0, 2.0, 2), TORCHLAYERS: None}
    assert row == Row("group", "what", ratios, Spread(1.5, 1.25, 1.75, 2), target="flat")


# what is compared


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_contenders_make_the_same_models():
    image = torch.randn(1, 3, 8, 8)
    for layers, x in ((lambda c: convs(c, 2), image), (lambda c: linears(c, 2, 8, activation=True), torch.ones(1, 8))):
        states = []
        for contender in OURS:
            torch.manual_seed(0)
            states.append(constructed_and_called(contender, layers(contender), x).state_dict())
        for contender, state in zip(OURS, states, strict=True):
            assert list(state) == list(states[0]), contender.name
            assert [t.shape for t in state.values()] == [t.shape for t in states[0].values()], contender.name


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_contenders_make_a_model_real():
    shapes = set()
    for contender in OURS:
        model = nn.Sequential(contender.conv(3, 4), contender.norm(4), nn.Flatten(), contender.linear(64, 5))
        contender.made_real(model, torch.empty(2, 3, 4, 4, device="meta"))
        assert not lazy_modules(model)
        shapes.add(tuple(tuple(t.shape) for t in model.state_dict().values()))
    assert len(shapes) == 1


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda each: each.label)
def test_lazify_finds_what_the_problems_ask_for(problem):
    lazy = problem.lazy(problem.cls)()
    assert is_lazy(lazy)
    lazy(*map(torch.randn, problem.shapes))
    eager = problem.eager(problem.cls)()
    assert [t.shape for t in lazy.state_dict().values()] == [t.shape for t in eager.state_dict().values()]


# the table, the README, the plots


def test_table():
    lines = table(RESULTS).splitlines()
    assert lines[:5] == [
        "| measured (ratio to eager) | lazify        | torch's `Lazy*` | torchlayers | control | eager  | target  |",
        "| ------------------------- | ------------- | --------------- | ----------- | ------- | ------ | ------- |",
        "| first call, convs         | 1.20          | 1.70            | fails       | 1.00    | 4.0 ms | <= 1.15 |",
        "| peak memory               | 1.00          |                 |             |         | 400 MB |         |",
        "| shapes                    | 10.0 (500 ms) |                 |             |         | 50 ms  | < 60 s  |",
    ]
    assert any(line.startswith("| cost per module           | 0.99 ") and "| 1.01   |" in line for line in lines)


def test_table_leaves_out_who_was_not_there():
    rows = tuple(Row(r.group, r.measured, {LAZIFY: r.ratios[LAZIFY]}, r.base) for r in RESULTS.rows if r.base)
    assert "torchlayers" not in table(Results("", "", {}, "", (), rows))


def test_results_survive_json(tmp_path):
    save(RESULTS, tmp_path / "results.json")
    assert load(tmp_path / "results.json") == RESULTS
    assert json.loads((tmp_path / "results.json").read_text())["command"] == "python -m benchmarks"


def test_readme_gets_the_table_the_figure_and_how_they_were_made():
    content = block(RESULTS, {"results/costs.svg": "Costs"})
    readme = with_block(f"before\n{BEGIN}\nold\n{END}\nafter\n{END}\n", content)
    assert readme == f"before\n{BEGIN}\n{content}\n{END}\nafter\n{END}\n"
    assert with_block(readme, content) == readme
    assert content.startswith(
        "2026-01-02, lazify 0.1, torch 2.13, a processor, Linux; `python -m benchmarks`:\n\n![Costs]"
    )
    assert table(RESULTS) in content
    assert content.endswith("A note.")


def test_readme_without_a_place_for_it():
    with pytest.raises(ValueError, match="no place for the table"):
        with_block("nothing", "content")


def test_plots_are_the_same_each_time(tmp_path):
    pytest.importorskip("matplotlib")
    from benchmarks.plots import draw

    drawn = []
    for name in ("once", "again"):
        (tmp_path / name).mkdir()
        drawn.append({path.name: path.read_bytes() for path in draw(RESULTS, tmp_path / name)})
    assert list(drawn[0]) == ["costs.svg", "scale.svg", "solving.svg"]
    assert drawn[0] == drawn[1]
    assert all(len(content) < 60_000 and b"<dc:date>" not in content for content in drawn[0].values())


def test_plots_of_nothing(tmp_path):
    pytest.importorskip("matplotlib")
    from benchmarks.plots import draw

    assert draw(Results("", "", {}, "", (), ()), tmp_path) == []


# the command


def test_command(tmp_path):
    command = [sys.executable, "benchmarks", "--quick", "--only", "first", "--write", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    results = load(tmp_path / "results.json")
    assert [row.group for row in results.rows] == ["first call", "first call, cold"] * 2
    assert all({CONTROL, TORCH, LAZIFY} <= row.ratios.keys() for row in results.rows)
    assert table(results) in ran.stdout
    assert table(results) in (tmp_path / "table.md").read_text()

    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}\n{END}\n")
    main(["--readme", str(readme), "--write", str(tmp_path)])
    assert table(results) in readme.read_text()
    assert "](costs.svg)" in readme.read_text()


def test_the_page_shows_what_was_measured():
    """`python -m benchmarks --readme`, run after every measurement."""
    results = load(ROOT / "benchmarks" / "results" / "results.json")
    shown = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert heading(results) in shown
    assert table(results) in shown


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_what_comes_before_the_first_call_is_measured_beside_torch():
    rows = list(MEASURES["before"](QUICK, OURS))
    assert [set(row.ratios) for row in rows] == [{TORCH, LAZIFY}] * 6 + [{LAZIFY}]
    assert all(row.target for row in rows)
