"""Trainings that write to S3: what arrives there, when the server is there, away for a while, and never there."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.callbacks.remote_run import RemoteRun
from keras_xai.callbacks.run_directory import Beginning
from keras_xai.remote import shipper
from keras_xai.remote.address import Address
from keras_xai.remote.destination import Destination
from keras_xai.remote.shipper import Shipper
from keras_xai.remote.staging import staging_directory
from keras_xai.summary.writer import Writer
from tests.helpers.waiting import wait_until
from tests.remote.names import BUCKET, SECRET
from tests.remote.written import written
from tests.summary.epoch_records import epoch_of_records
from tests.trust.trainings import At, assert_same, callback, state, trained, with_warnings

ROOT = Path(__file__).parents[2]
ADDRESS = f"s3://{BUCKET}/run"


def test_a_training_into_s3_reads_as_one_into_a_directory(s3, tmp_path):
    """The same records, though the server is away for two epochs, and of a training that goes on; nothing stays behind here."""
    ours = {"here": callback("ImportanceDrift", tmp_path / "here"), "there": callback("ImportanceDrift", ADDRESS)}
    trained(ours["here"], epochs=4)
    away = [At(1, lambda model: s3.stop()), At(3, lambda model: s3.start())]
    _, texts = with_warnings(lambda: trained(ours["there"], *away, epochs=4))
    assert len(texts) <= 1
    assert all("does not take what is recorded" in text for text in texts)
    for callback_of in ours.values():
        trained(callback_of, epochs=5, initial_epoch=4)
    here, there = kx.load(tmp_path / "here")["."], kx.load(ADDRESS)["."]
    assert kx.load(f"s3://{BUCKET}")["run"].epochs == there.epochs == here.epochs == [0, 1, 2, 3, 4]
    assert there.resumed == here.resumed == [4]
    np.testing.assert_array_equal(there.importance.share, here.importance.share)
    np.testing.assert_array_equal(there.predictions.prediction, here.predictions.prediction)
    assert not ours["there"].log_dir.exists()
    assert [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()] == []


def test_a_server_that_was_never_there_costs_one_warning(s3):
    """The weights are those of a plain training, the local copy is whole, and the warning says where it is."""
    s3.stop()
    ours = callback("WeightGradients", ADDRESS)
    model, texts = with_warnings(lambda: trained(ours))
    assert_same(state(model), state(trained()))
    (text,) = texts
    assert f"the records are kept in {ours.log_dir} and shipped as soon as it does" in text
    assert kx.load(ours.log_dir)["."].epochs == [0, 1, 2]
    s3.start()
    wait_until(lambda: s3.names("run/keras_xai/"))  # this process goes on trying
    wait_until(lambda: kx.load(ADDRESS)["."].epochs == [0, 1, 2])


def test_what_is_left_at_the_end_is_said_with_its_place(s3, tmp_path, monkeypatch):
    """A server that went away for good: one warning names what is left, and the directory; the next training ships it."""
    monkeypatch.setattr(shipper, "LAST_RETRY_SECONDS", 60.0)
    monkeypatch.setattr(shipper, "FIRST_RETRY_SECONDS", 60.0)
    monkeypatch.setattr(shipper, "END_SECONDS", 0.5)
    shipping = Shipper(Address(ADDRESS), tmp_path / "staging")
    assert shipping.check()
    s3.stop()
    written(shipping, "keras_xai", range(2))
    shipping.end("keras_xai")
    text = shipping.notice(at_end=True)
    assert text.startswith(f"1 file of this training could not be shipped to {ADDRESS} (")
    assert str(tmp_path / "staging") in text
    assert kx.load(tmp_path / "staging")["."].epochs == [0, 1]
    s3.start()
    assert shipping.check()
    assert kx.load(ADDRESS)["."].epochs == [0, 1]
    assert shipping.is_elsewhere(tmp_path / "staging" / "keras_xai")


def test_a_second_training_is_a_run_of_its_own(memory_url):
    """As in a directory, and the note says why."""
    url = memory_url("twice")
    for _ in range(2):
        remote, session_directory = RemoteRun(Address(url)), staging_directory(Address(url))
        remote.check()
        run = remote.choose(session_directory, Beginning(0, "epoch"), {}, ())
        writer = Writer(run.directory, run.start, **remote.writer_options)
        writer.write(epoch_of_records(0))
        writer.close()
        assert remote.close(run.directory) == ""
    assert list(kx.load(url)) == [".", "keras_xai-2"]
    assert run.notes == ("keras_xai holds an earlier training: this one is keras_xai-2.",)


def test_a_bucket_that_is_missing_is_an_error_at_train_begin(s3):
    """Of the user's, so not one warning among others."""
    with pytest.raises(kx.InvalidInput, match="bucket does not exist"):
        trained(callback("WeightGradients", "s3://no-such-bucket/run"), epochs=1)


@pytest.mark.parametrize(
    ("address", "words"),
    [("nowhere://a/b", "fsspec knows no nowhere://"), ("simplecache::s3://b", "chained"), ("oci://b", "is missing")],
)
def test_an_address_that_cannot_be_is_an_error_at_construction(memory_url, address, words):
    """No such scheme, two of them, a package that is not installed; each says what to do."""
    with pytest.raises(kx.InvalidInput, match=words):
        kx.WeightGradients(address)


def test_without_fsspec_the_error_says_what_to_install(monkeypatch):
    """Importing the package needs it no more than training into a directory does."""
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(kx.InvalidInput, match=r"pip install keras_xai\[remote\]"):
        kx.WeightGradients("s3://bucket/run")


def test_a_store_that_fails_moves_no_generator_of_the_training(s3):
    """Keras seeds layers from Python's `random`, and the thread that ships runs beside it."""
    s3.stop()
    state_before = random.getstate()
    with pytest.raises(Exception, match="Could not connect"):
        Destination(Address(ADDRESS)).check()
    assert random.getstate() == state_before


def test_a_name_and_password_are_shown_nowhere(memory_url):
    """In an address of a store that takes them there."""
    address = Address("ftp://me:secret@host/logs/")
    assert str(address) == "ftp://host/logs"
    assert address.hidden("cannot log in as me:secret") == "cannot log in as ***"


def test_two_processes_with_one_name_get_a_run_each(memory_url, tmp_path):
    """Both looked before either wrote: who sees the other's file goes by another name."""
    address = Address(memory_url("logs"))
    ours, other = Shipper(address, tmp_path / "a"), Shipper(address, tmp_path / "b")
    assert ours.check()
    assert other.check()
    written(ours, "keras_xai", range(2))
    ours.end("keras_xai")
    written(other, "keras_xai", range(3))
    other.end("keras_xai")
    assert {name: run.epochs for name, run in kx.load(address.url).items()} == {".": [0, 1], "keras_xai-2": [0, 1, 2]}


def test_a_long_run_is_shipped_in_files_of_bounded_size(memory_url, tmp_path, monkeypatch):
    """A file that is complete is not shipped again: what is sent is a multiple of the run that does not grow with it."""
    monkeypatch.setattr(shipper, "INTERVAL_SECONDS", 0.0)
    address = Address(memory_url("long"))
    shipping = Shipper(address, tmp_path / "staging")
    shipping.begin("keras_xai")
    writer = Writer(shipping.directory / "keras_xai", roll_bytes=100_000, on_flush=shipping.ship)
    total = 0
    for epoch in range(60):
        writer.write(epoch_of_records(epoch))
        writer.flush()
        wait_until(lambda: not shipping._pending(), every=0.001)
    writer.close()
    total = sum(path.stat().st_size for path in (tmp_path / "staging").rglob("*tfevents*"))
    largest = max(path.stat().st_size for path in (tmp_path / "staging").rglob("*tfevents*"))
    epoch_bytes = total / 60
    assert largest < 100_000 + 2 * epoch_bytes
    assert shipping.bytes_sent < total * (100_000 / epoch_bytes / 2 + 2)
    shipping.end("keras_xai")
    run = kx.load(address.url)["."]
    assert run.epochs == list(range(60))
    assert run.passed_over == {}


def test_a_copy_in_another_process_has_a_directory_of_its_own(memory_url):
    """Pickled, a callback takes its address along; a forked worker ships nothing."""
    address = Address(memory_url("copies"))
    ours = kx.WeightGradients(address.url)
    assert pickle.loads(pickle.dumps(ours))._address == address
    shipping = Shipper(address, Path("never-made"))
    shipping._process += 1
    shipping.ship(Path("never-made") / "keras_xai" / "file", 1)
    assert shipping._pending() == []
    assert shipping._thread is None


def test_the_thread_ends_with_what_it_has_to_do(memory_url, tmp_path):
    """Nothing of a training that is shipped stays behind."""
    shipping = Shipper(Address(memory_url("ends")), tmp_path / "staging")
    assert shipping.check()
    written(shipping, "keras_xai", range(1))
    shipping.end("keras_xai")
    wait_until(lambda: shipping._thread is None)
    assert not (tmp_path / "staging").exists()
    assert os.getpid() == shipping._process


BROKEN_OFF = """
from pathlib import Path
from keras_xai.remote.address import Address
from keras_xai.remote.staging import shipper_of
from keras_xai.summary.writer import Writer
from tests.summary.epoch_records import epoch_of_records
shipping = shipper_of(Address({address!r}))
assert shipping.check()
shipping.begin("keras_xai")
writer = Writer(shipping.directory / "keras_xai", on_flush=shipping.ship)
for epoch in range(3):
    writer.write(epoch_of_records(epoch))
    writer.flush()
print(shipping.directory)
raise KeyboardInterrupt
"""


def test_a_training_that_was_broken_off_is_shipped_before_its_process_ends(s3):
    """Though five seconds between two shipments have not passed; the local copy is deleted."""
    command = [sys.executable, "-c", BROKEN_OFF.format(address=ADDRESS)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)
    assert "KeyboardInterrupt" in ended.stderr.splitlines()[-1]
    assert kx.load(ADDRESS)["."].epochs == [0, 1, 2]
    assert not Path(ended.stdout.strip()).exists()


@pytest.mark.parametrize(
    ("log_dir", "words"),
    [
        ("s3://", r"names no directory; give s3://bucket/path"),
        ("memory://logs/../other", "do not resolve '.' and '..'"),
        (Path("s3://bucket/run"), r"give it as text, as 's3://bucket/run'; pathlib.Path makes one slash of two"),
        ("file:/tmp/run", "as 'file:///tmp/run'"),
        ("file://tmp/run", "names the host 'tmp': expected a path on this machine, as 'file:///tmp/run'"),
    ],
)
def test_an_address_that_names_another_place_is_an_error(log_dir, words):
    """No local directory "s3:", and no names in a bucket that nothing reads again; for a training and for a reader."""
    for user in (kx.WeightGradients, kx.load):
        with pytest.raises(kx.InvalidInput, match=words):
            user(log_dir)


def test_a_file_uri_is_a_path(tmp_path):
    """With and without the name of this machine, its escapes decoded."""
    directory = tmp_path / "a b"
    written_here = kx.WeightGradients(directory.as_uri()).log_dir
    assert written_here == kx.WeightGradients(f"file://localhost{directory}").log_dir == directory
    directory.mkdir()
    assert kx.load(directory.as_uri()) == {}


def test_an_address_has_one_spelling(memory_url):
    """Slashes too many would be parts of names in an object store, and a scheme is one in capitals too."""
    assert Address("MEMORY://Logs//a/").url == "memory://Logs/a"
    assert Address("local:///tmp//a").url == "local:///tmp/a"


def test_the_local_copy_is_for_its_user_alone(memory_url):
    """Also of a second training, for which the directories are made again."""
    address, modes = Address(memory_url("private")), []
    for _ in range(2):
        remote = RemoteRun(address)
        remote.check()
        run = remote.choose(staging_directory(address), Beginning(0, "epoch"), {}, ())
        modes.append(run.directory.parents[1].stat().st_mode & 0o777)
        remote.close(run.directory)
    assert modes == [0o700, 0o700]
    assert not staging_directory(address).exists()


def test_no_room_for_the_local_copy_is_an_error_at_train_begin(memory_url, monkeypatch, tmp_path):
    """As a log directory that cannot be written is."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(kx.InvalidInput, match="Set TMPDIR to a directory that can be written"):
        trained(callback("WeightGradients", memory_url("logs")), epochs=1)


def test_a_training_that_ends_leaves_the_run_that_another_chooses(memory_url, tmp_path):
    """Between the choice and the first record nothing else says that the directory is in use."""
    shipping = Shipper(Address(memory_url("logs")), tmp_path / "local")
    chosen = shipping.directory / "keras_xai-2"
    with shipping.choosing():
        chosen.mkdir(parents=True)
        written(shipping, "keras_xai", range(1))
        shipping.end("keras_xai")
        assert chosen.exists()
        shipping.begin("keras_xai-2")
    shipping.end("keras_xai-2")
    assert not shipping.directory.exists()
