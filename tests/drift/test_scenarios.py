"""Planted changes and silent trainings: the quick form of `python -m benchmarks.drift`, one data set a row, three seeds."""

import dataclasses

import pytest
from scipy.stats import binomtest

from benchmarks._drift_rows import ROWS, Run, measure, outcome, runs_of, table
from benchmarks._statistics import Share, wilson

SEEDS = 3
QUICK = {  # the quickest scenario of a row
    "B1": 1,  # breast cancer, a drop of the learning rate
    "B2": 0,
    "B3": 0,
    "B4": 0,
    "B5": 0,
    "B6": 2,
    "B7": 0,
    "B8": 0,
    "B9": 0,
    "B10": 0,
}
BARRED = [key for key, row in ROWS.items() if not row.stretch]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """`{row: Outcome}` of the quick form."""
    runs = tmp_path_factory.mktemp("runs")
    rows = {
        key: dataclasses.replace(row, scenarios=row.scenarios[QUICK[key] :][:1])
        for key, row in ROWS.items()
        if key in QUICK
    }
    measure([run for row in rows.values() for run in runs_of(row, SEEDS)], runs)
    return {key: outcome(row, runs, SEEDS) for key, row in rows.items()}


def pooled(shares):
    shares = list(shares)
    return sum(s.count for s in shares), sum(s.of for s in shares)


def test_planted_changes_are_found_within_two_epochs(quick):
    """At least 80 % of all, pooled over the rows."""
    count, of = pooled(o.detected for key, o in quick.items() if ROWS[key].counts)
    assert of == 8 * SEEDS
    assert count >= 0.8 * of


def test_the_guilty_feature_is_among_the_first_three(quick):
    """At least 80 % of those found."""
    count, of = pooled(o.located for o in quick.values())
    assert of
    assert count >= 0.8 * of


def test_the_verdict_says_whether_the_data_or_the_model_changed(quick):
    """At least 80 % of those found, and for both verdicts."""
    count, of = pooled(o.judged for o in quick.values())
    assert count >= 0.8 * of
    assert all(quick[key].judged.count for key in ("B6", "B7", "B9", "B10"))


def test_there_is_no_storm_of_alarms(quick):
    """Fewer than one false alarm in 100 epochs, over silent runs and whatever goes before a change."""
    count, of = pooled(o.false_alarms for o in quick.values())
    assert of > 2 * SEEDS * 60
    assert count < of / 100


def test_fit_and_the_compiled_loop_say_the_same(tmp_path):
    """The same alarms at the same epochs with the same words and features, through the real callback."""
    row = dataclasses.replace(ROWS["B9"], scenarios=ROWS["B9"].scenarios[:1])
    run = next(iter(runs_of(row, 1)))
    measure([run, run._replace(through_fit=True)], tmp_path)
    got = outcome(row, tmp_path, 1)
    assert got.detected == (1, 1)
    assert got.agreed == (1, 1)


def test_a_cut_benchmark_goes_on_where_it_was_and_the_table_says_how_far(tmp_path):
    """What has a file is not run again; a row without any says so."""
    row = ROWS["B3"]
    run = next(iter(runs_of(row, 1)))
    tmp_path.joinpath(run.path(tmp_path).name).write_text(
        '{"change": 30, "guilty": ["column 20"], "alarms": [{"epoch": 31, "source": "clean", '
        '"verdict": "reliance moved", "features": ["column 20"]}], "seconds": 1}'
    )
    measure([run], tmp_path)
    page = table(tmp_path, 20, ["B3", "B4"])
    assert "| 1 | 1/1 = 100%" in page
    assert "| B4 | noisy breast cancer: a column leaks (0.95); fixed probe | 0 | not measured |" in page


def test_two_scenarios_never_share_a_file(tmp_path):
    """The name of a file tells everything that a run depends on."""
    runs = {run for row in ROWS.values() for run in runs_of(row, 4)}
    runs |= {Run(run.scenario, run.seed, through_fit=True) for run in runs}
    assert len({run.path(tmp_path) for run in runs}) == len(runs)


@pytest.mark.parametrize(("count", "of"), [(0, 20), (7, 20), (19, 20), (20, 20), (3, 4321)])
def test_the_interval_is_wilsons(count, of):
    """Against SciPy's."""
    reference = binomtest(count, of).proportion_ci(method="wilson")
    assert wilson(count, of) == pytest.approx((reference.low, reference.high), abs=1e-5)


def test_a_bar_is_missed_where_the_whole_interval_lies_below_it():
    """18 of 20 may be 95 %, 12 of 20 may not."""
    assert Share(18, 20).reaches(0.95)
    assert not Share(12, 20).reaches(0.95)


@pytest.mark.full
@pytest.mark.parametrize("key", BARRED)
def test_every_row_meets_its_bar(key, tmp_path):
    """All scenarios of a row, ten seeds."""
    measure(runs_of(ROWS[key], 10), tmp_path)
    assert outcome(ROWS[key], tmp_path, 10).missing == ()
