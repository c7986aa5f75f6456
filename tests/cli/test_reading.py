"""Reading files beside the work on those before."""

import threading

import pytest
from xaionnx_cli import _reading

from xaionnx.errors import DataError


def test_files_come_in_order_and_a_faulty_one_raises_its_own_error(tmp_path):
    files = [tmp_path / f"{n}.txt" for n in range(200)]

    def read(path):
        if path.stem == "7":
            raise DataError("number 7 is damaged")
        return path.stem

    for n, (path, reading) in enumerate(_reading.read_ahead(files, read)):
        assert path == files[n]
        if n == 7:
            with pytest.raises(DataError, match="number 7 is damaged"):
                reading.result()
        else:
            assert reading.result() == str(n)
    assert n == 199


@pytest.mark.parametrize(("size", "most"), [(0, _reading._MAX_FILES + 1), (_reading._MAX_BYTES // 4, 5)])
def test_few_files_are_read_before_they_are_needed(tmp_path, size, most):
    files = [tmp_path / f"{n}.bin" for n in range(120)]
    for path in files:
        with path.open("wb") as stream:
            stream.truncate(size)
    begun, idle = [], threading.Event()
    readings = _reading.read_ahead(files, begun.append)
    for n, (_, reading) in enumerate(readings):
        reading.result()
        idle.wait(0.0005)
        assert len(begun) <= n + most
    assert begun == files


def test_what_nobody_needs_is_not_read(tmp_path):
    begun, gate = [], threading.Event()

    def read(path):
        begun.append(path)
        gate.wait(10)

    readings = _reading.read_ahead([tmp_path / f"{n}" for n in range(90)], read)
    next(readings)
    readings.close()
    gate.set()
    assert len(begun) == 1
