"""What a trainer writes to stderr goes home whole, in order and once; of very much its begin and its end."""

from pathlib import Path

import pytest

from ml.contract.events import Cancelled, Failed, Finished, Printed
from ml.contract.experiment import ExperimentConfig
from ml.contract.job import Job
from worker import printed
from worker.printed import Reader
from worker.spool import Spool


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "stderr.log"


def write(log: Path, text: bytes) -> None:
    with log.open("ab") as file:
        file.write(text)


def test_lines_go_home_whole_as_they_come(log: Path) -> None:
    events: list[Printed] = []
    reader = Reader(log, events.append)
    reader._hand_on()
    write(log, "第一 line\n\nhalf".encode())
    reader._hand_on()
    write(log, b" done\n 10%\r 50%\r100%|##|\n\x1b[31mred\x1b[0m \x00 \xff\nthe end")
    reader._hand_on()
    reader.close()
    reader.close()
    assert [event.lines for event in events] == [
        ("第一 line", ""),
        ("half done", "100%|##|", "red � �"),
        ("the end",),
    ]


def test_a_full_disk_loses_and_doubles_no_line(log: Path) -> None:
    events: list[Printed] = []
    full = [True]

    def append(event: Printed) -> None:
        if full[0]:
            raise OSError(28, "No space left on device")
        events.append(event)

    reader = Reader(log, append)
    write(log, b"one\ntwo\n")
    reader._hand_on()
    full[0] = False
    write(log, b"three\n")
    reader.close()
    assert [line for event in events for line in event.lines] == ["one", "two", "three"]


def test_of_very_much_the_begin_and_the_end(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printed, "BEGIN_BYTES", 1000)
    monkeypatch.setattr(printed, "END_BYTES", 500)
    monkeypatch.setattr(printed, "PIECE_BYTES", 200)
    events: list[Printed] = []
    reader = Reader(log, events.append)
    for number in range(1000):
        write(log, b"line %05d\n" % number)
        if number % 100 == 0:
            reader._hand_on()
    reader.close()
    lines = [line for event in events for line in event.lines]
    told = sum(event.left_out for event in events)
    assert lines[0] == "line 00000"
    assert lines[-1] == "line 00999"
    assert told + sum(len(line) + 1 for line in lines) == 11_000
    assert 1500 <= 11_000 - told <= 1800
    write(log, b"x" * 5000 + b"\n")
    assert len(printed._plain(b"x" * 5000)) < 2100


def test_nothing_comes_after_the_last_event(log: Path, tmp_path: Path) -> None:
    """As the worker does it: the trainer's last word waits for the lines before it."""
    spool = Spool.create(
        tmp_path, Job(run_id=7, attempt=1, kind="finetune", config=ExperimentConfig(), inputs=()), "secret"
    )
    reader = Reader(log, spool.append_before_end)
    reader.start()
    write(log, b"before\n")
    reader.close()
    spool.append(Finished(seconds=1))
    write(log, b"after\n")
    reader.close()
    assert spool.after(0, 9) == [Printed(lines=("before",)), Finished(seconds=1)]


@pytest.mark.parametrize("last", [Failed(reason="x"), Cancelled()])
def test_the_log_of_a_trainer_that_dies(
    last: Failed | Cancelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the worker's own code: lines written just before the end, killed or not, stand before the last word."""
    import threading

    from worker.tasks import Current

    package = tmp_path / "lib" / "ml"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    end = "sys.exit(3)" if isinstance(last, Failed) else "time.sleep(600)"
    (package / "__main__.py").write_text(
        "import sys, time\nsys.stderr.write('CUDA out of memory\\nlast line')\nsys.stderr.flush()\n"
        f'print(\'{{"type":"log","message":"here"}}\', flush=True)\n{end}\n'
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    spool = Spool.create(
        tmp_path, Job(run_id=7, attempt=1, kind="finetune", config=ExperimentConfig(), inputs=()), "secret"
    )
    current = Current(spool, threading.Event())
    trains = threading.Thread(target=current.train)
    trains.start()
    if isinstance(last, Cancelled):
        while spool.written < 1:
            trains.join(0.05)
        current.cancel()
    trains.join(60)
    if (end_event := current.end()) is not None:
        spool.append(end_event)
    events = spool.after(0, 99)
    lines = [line for event in events if isinstance(event, Printed) for line in event.lines]
    assert lines == ["CUDA out of memory", "last line"]
    assert isinstance(events[-1], type(last))
