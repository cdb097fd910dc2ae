"""Reading runs behind an address: the same as in a directory, with no more traffic than needed."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import pytest

import keras_xai as kx
from keras_xai.cli import main
from keras_xai.remote import mirror
from keras_xai.remote.address import Address
from keras_xai.remote.mirror import local_copy
from keras_xai.remote.run_files import event_files
from keras_xai.summary.writer import Writer
from tests.summary.epoch_records import epoch_of_records

fsspec = pytest.importorskip("fsspec")


def stored(url: str, directory: Path, epochs: range) -> Writer:
    """Write a run and put its files into a store."""
    writer = Writer(directory / "keras_xai", epochs.start)
    for epoch in epochs:
        writer.write(epoch_of_records(epoch))
    writer.flush()
    put(url, directory)
    return writer


def put(url: str, directory: Path) -> None:
    store = fsspec.filesystem("memory")
    for path in directory.rglob("*"):
        if path.is_file():
            store.pipe_file(f"{url}/{path.relative_to(directory).as_posix()}", path.read_bytes())


def test_load_report_and_check_read_an_address(memory_url, tmp_path, capsys):
    """Each as it reads a directory with the same files."""
    url = memory_url("logs/run1")
    stored(url, tmp_path / "run1", range(3)).close()
    here, there = kx.load(tmp_path / "run1")["."], kx.load(url)["."]
    assert there.epochs == here.epochs == [0, 1, 2]
    assert [alert.verdict for alert in there.alerts] == [alert.verdict for alert in here.alerts]
    assert list(kx.load(memory_url("logs"))) == ["run1"]
    page = kx.report(memory_url("logs"), tmp_path / "report.html").read_text(encoding="utf-8")
    assert "memory://logs" in page
    status = main(["check", str(tmp_path / "run1")])
    words = capsys.readouterr().out
    assert main(["check", url]) == status
    assert capsys.readouterr().out == words


def test_only_what_changed_is_read_again(memory_url, tmp_path, monkeypatch):
    """Of a run that grew its new file; of one that did not grow nothing; what is gone in the store goes here too."""
    url = memory_url("logs")
    stored(url, tmp_path / "logs", range(2)).close()
    reads: list[str] = []
    plain = fsspec.implementations.memory.MemoryFileSystem.get_file

    def counted(self, path, *args, **options):
        reads.append(path)
        return plain(self, path, *args, **options)

    monkeypatch.setattr(fsspec.implementations.memory.MemoryFileSystem, "get_file", counted)
    assert kx.load(url)["."].epochs == [0, 1]
    assert kx.load(url)["."].epochs == [0, 1]
    assert len(reads) == 1
    writer = Writer(tmp_path / "logs" / "keras_xai", 2)
    writer.write(epoch_of_records(2))
    writer.close()
    name = writer.path.name
    fsspec.filesystem("memory").pipe_file(f"{url}/keras_xai/{name}", writer.path.read_bytes())
    assert kx.load(url)["."].epochs == [0, 1, 2]
    assert [path.rpartition("/")[2] for path in reads[1:]] == [name]
    fsspec.filesystem("memory").rm_file(f"{url}/keras_xai/{name}")
    assert kx.load(url)["."].epochs == [0, 1]


def test_a_store_cannot_write_outside_of_the_copy(memory_url):
    """Names that lead out of the directory are no event files, nor is anything but event files of runs."""
    listing = {
        "logs/keras_xai/events.out.tfevents.1": {"size": 1},
        "logs/../keras_xai/events.out.tfevents.2": {"size": 1},
        "logs/a\\b/keras_xai/events.out.tfevents.3": {"size": 1},
        "logs/keras_xai/checkpoint": {"size": 1 << 40},
        "logs/train/events.out.tfevents.4": {"size": 1 << 40},
    }
    assert [name for name, _ in event_files("logs", listing)] == ["keras_xai/events.out.tfevents.1"]


def test_an_address_with_nothing_behind_it_is_an_error(memory_url):
    """As a directory that does not exist."""
    with pytest.raises(kx.InvalidInput, match="nothing is stored there"):
        kx.load(memory_url("none"))


def test_the_copy_goes_by_the_name_of_the_directory(memory_url, tmp_path):
    """An address of one run is read too."""
    stored(memory_url("logs"), tmp_path / "logs", range(1)).close()
    assert local_copy(Address(memory_url("logs/keras_xai"))).name == "keras_xai"
    assert kx.load(memory_url("logs/keras_xai"))["."].epochs == [0]


def test_a_damaged_record_is_named_by_its_address(memory_url, tmp_path):
    """And not by the copy, which nobody knows."""
    url = memory_url("logs")
    stored(url, tmp_path / "logs", range(2)).close()
    (path,) = (tmp_path / "logs" / "keras_xai").iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    fsspec.filesystem("memory").pipe_file(f"{url}/keras_xai/{path.name}", bytes(content))
    with pytest.warns(UserWarning, match="memory://logs/keras_xai: "):
        assert kx.load(url)["."].updates


def nobody() -> Path:
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize("home", [lambda: Path("/proc/nowhere"), nobody])
def test_without_a_cache_the_copy_lives_as_long_as_the_process(memory_url, tmp_path, monkeypatch, home):
    """In a container the home may not be there, or may be read alone: no fault of the address."""
    stored(memory_url("logs"), tmp_path / "logs", range(2)).close()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", home)
    assert kx.load(memory_url("logs"))["."].epochs == [0, 1]
    assert Path(tempfile.gettempdir()) in local_copy(Address(memory_url("logs"))).parents


def test_a_full_disk_is_said_of_this_machine(memory_url, tmp_path, monkeypatch):
    """And not of the store, which answers."""
    stored(memory_url("logs"), tmp_path / "logs", range(1)).close()

    def full(*paths):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(mirror.os, "replace", full)
    with pytest.raises(OSError, match=r"the copy of memory://logs cannot be kept in .*: No space left on device"):
        kx.load(memory_url("logs"))


def test_a_copy_that_lost_bytes_is_read_again(memory_url, tmp_path):
    """A crash may leave a file short that the index calls current."""
    stored(memory_url("logs"), tmp_path / "logs", range(3)).close()
    (copied,) = local_copy(Address(memory_url("logs"))).rglob("events*")
    whole = copied.read_bytes()
    copied.write_bytes(whole[: len(whole) // 2])
    assert kx.load(memory_url("logs"))["."].epochs == [0, 1, 2]
    assert copied.read_bytes() == whole
