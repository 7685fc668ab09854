"""What goes wrong on the command line ends in one line on stderr and the right status, never in a traceback."""

import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli import guarded, main, one_line
from schemas.errors import UsageError, UserError


def run(*words):
    """The command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "pipeline.cli", *words], capture_output=True, text=True, timeout=60, check=False)


def raising(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (UserError("a: is wrong; mend it"), 1, "x: a: is wrong; mend it\n"),
        (UsageError("--a: is wrong"), 2, "x: --a: is wrong\n"),
        (KeyboardInterrupt(), 130, "x: interrupted; run the same command again to go on\n"),
        (FileNotFoundError(2, "No such file or directory", "/a"), 1, "x: /a: No such file or directory; check that path\n"),
        (ModuleNotFoundError("No module named 'spam'", name="spam"), 1, "x: spam: this Python package is needed and not"),
        (ZeroDivisionError("by\nnought"), 1, "x: unexpected ZeroDivisionError: by\\nnought; WEBPAIRS_TRACEBACK=1 before"),
    ],
)
def test_whatever_is_raised_becomes_one_line_and_a_status(error, status, said, capsys):
    assert guarded("x", raising(error)) == status
    told = capsys.readouterr().err
    assert told.startswith(said)
    assert told.count("\n") == 1


def test_a_traceback_is_there_for_whoever_asks(monkeypatch):
    monkeypatch.setenv("WEBPAIRS_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        guarded("x", raising(ZeroDivisionError()))


def test_a_hostile_name_tells_the_terminal_nothing():
    assert one_line("a\nb\x1b[2J\udcff ü→") == r"a\nb\x1b[2J\udcff ü→"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--wat", "/nowhere/x.wat.gz"], "/nowhere/x.wat.gz: no such file"),
        (["--wat", "/nowhere/a\nb"], r"/nowhere/a\nb: no such file"),
        (["--wat", "foo://bucket/x"], "foo://bucket/x: Protocol not known: foo; give a local path or a URL"),
        (["--wat", "zip://a::{file}"], "cannot be opened"),
        (["--wat", "a\0b"], "has a NUL character"),
        (["--wat", "{file}", "--out", "{file}"], "file: cannot be written (File exists)"),
        (["--wat", "{file}", "--out", "{file}/below"], "below: cannot be written (Not a directory)"),
        (["--wat", "{file}", "--out", "/proc/nowhere"], "/proc/nowhere: cannot be written"),
        (["--wat", "{file}", "--out", "http://127.0.0.1:1/x"], "this kind of URL cannot be written to"),
    ],
)
def test_a_path_that_will_not_do_is_told_in_one_line(words, said, tmp_path, capsys):
    (tmp_path / "file").write_text("no WAT")
    words = [word.format(file=tmp_path / "file") for word in ["--out", str(tmp_path / "out"), *words]]
    assert main(["extract", *words]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("words", [["--workers", "0"], ["--workers", "-1"], ["--workers", "9999"], ["--tolerate-failed", "1.5"]])
def test_options_that_every_stage_has_are_held_to_their_bounds(words, capsys):
    assert main(["filter", "--name", "no_filter", "--metadata-dir", "m", "--save-path", "s.npy", *words]) == 2
    assert f"webpairs: {words[0]} {words[1]}: must be " in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--out", ""], ["--out", "x", "--tolerate-failed", "nan"]])
def test_empty_words_and_nan_are_wrong_usage(words, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["extract", "--wat", "x", *words])
    assert exit_.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_name_that_is_no_utf8_is_written_escaped(tmp_path):
    out = os.fsencode(tmp_path) + b"/\xff.npy"
    (tmp_path / "m").mkdir()
    pq.write_table(pa.table({"uid": ["0" * 32]}), tmp_path / "m" / "a.parquet")
    done = run("filter", "--name", "no_filter", "--metadata-dir", str(tmp_path / "m"), "--save-path", os.fsdecode(out))
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\udcff.npy" in done.stdout
    assert os.path.exists(out)


def test_nobody_reading_on_is_no_traceback():
    command = [sys.executable, "-m", "pipeline.cli", "--help"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writing)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_an_interrupt_ends_in_one_line_and_130(tmp_path):
    fifo = tmp_path / "x.wat.gz"
    os.mkfifo(fifo)  # opening it to read waits, until something happens
    command = [sys.executable, "-m", "pipeline.cli", "extract", "--wat", str(fifo), "--out", str(tmp_path / "out")]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not (tmp_path / "out" / "_config.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    told = running.communicate(timeout=30)[1]
    assert running.returncode == 130
    assert told == "webpairs: interrupted; run the same command again to go on\n"
