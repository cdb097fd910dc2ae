"""Every run directory has a name of its own, which can be printed."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_xai as kx
from keras_xai.printed import escaped
from keras_xai.summary.runs import display_names
from tests.summary.runs import write

CLASHES = [
    (["a/b/keras_xai", "a\\b/keras_xai"], ["a/b/keras_xai", "a\\b/keras_xai"]),
    (["keras_xai-2", "keras_xai-2/keras_xai"], ["keras_xai-2", "keras_xai-2/keras_xai"]),
    ([".", "keras_xai"], [".", "keras_xai"]),
    (
        ["a/b/keras_xai", "a\\b/keras_xai", "a/b/keras_xai/keras_xai"],
        ["a/b/keras_xai", "a\\b/keras_xai", "a/b/keras_xai/keras_xai"],
    ),
    (["x\udce9y", "x\\xe9y"], [r"x\xe9y", "x/xe9y"]),
    (["x\udc80", "x\x80"], [r"x\x80", r"x\u0080"]),
]


@pytest.mark.parametrize(("runs", "names"), CLASHES)
def test_runs_of_one_short_name_go_by_their_paths(runs, names):
    """Whatever order they are found in."""
    assert [display_names(runs)[run] for run in runs] == names
    assert display_names(reversed(runs)) == display_names(runs)


def test_others_keep_their_names():
    """A clash changes the names of those that clash."""
    names = display_names(["a/b/keras_xai", "a\\b/keras_xai", "c/keras_xai", "c/keras_xai-2", "keras_xai"])
    assert [names[run] for run in ("c/keras_xai", "c/keras_xai-2", "keras_xai")] == ["c", "c/keras_xai-2", "."]


def test_the_run_of_the_log_directory_goes_by_its_name_unless_another_has_it():
    """In the tab, which knows the directory's name."""
    assert display_names(["keras_xai", "b/keras_xai"], "logs") == {"keras_xai": "logs", "b/keras_xai": "b"}
    assert display_names(["keras_xai", "b/keras_xai"], "b") == {"keras_xai": ".", "b/keras_xai": "b"}


paths = st.lists(st.sampled_from(["a", "b", "a\\b", "keras_xai", "keras_xai-2", "\udce9", "\\xe9", "é", "\n", "\\n"]))


@given(st.sets(paths.map("/".join).filter(bool)), st.sampled_from(["", "a", "\udce9"]))
def test_names_always_differ_and_can_be_printed(runs, own):
    """Of any directories."""
    names = display_names(runs, own)
    assert set(names) == runs
    assert len(set(names.values())) == len(runs)
    assert all(escaped(name) == name for name in names.values())


def test_both_of_two_directories_are_loaded(tmp_path, records):
    """A backslash is a letter of a name where directories are parted by slashes; a run can lie in another one."""
    for directory in ("a/b/keras_xai", "a\\b/keras_xai", "keras_xai-2", "keras_xai-2/keras_xai"):
        write(tmp_path / directory, records, [0])
    assert sorted(kx.load(tmp_path)) == ["a/b/keras_xai", "a\\b/keras_xai", "keras_xai-2", "keras_xai-2/keras_xai"]
    assert sorted(kx.load(tmp_path / "keras_xai-2")) == [".", "keras_xai"]


def test_a_name_that_is_no_utf8_is_loaded_and_shown_escaped(tmp_path, records):
    """Linux takes any bytes."""
    directory = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        write(directory / "keras_xai", records, [0])
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    ((name, run),) = kx.load(tmp_path).items()
    assert (name, run.epochs) == (r"caf\xe9", [0])


def test_links_in_circles_are_not_followed(tmp_path, records):
    """A link that has the name of a run is one; what lies behind a link is not looked for."""
    write(tmp_path / "a" / "keras_xai", records, [0])
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "keras_xai").symlink_to(tmp_path / "a" / "keras_xai", target_is_directory=True)
    (tmp_path / "circle").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "keras_xai-3").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "keras_xai-4").symlink_to(tmp_path / "keras_xai-4")
    assert sorted(kx.load(tmp_path)) == ["a", "b"]


def test_very_deep_directories_are_looked_into(tmp_path, records):
    """As deep as the system's paths go."""
    deep = tmp_path.joinpath(*["d"] * 400)
    write(deep / "keras_xai", records, [0])
    assert list(kx.load(tmp_path)) == ["/".join(["d"] * 400)]
