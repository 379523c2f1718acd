import os
import weakref

import pyarrow as pa

from realmaster_live.system.arrow_memory import in_arrow_memory


def test_a_reader_outlives_the_file_that_it_was_read_from(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(b"0123456789" * 1000)
    file = path.open("rb")
    file.seek(3)
    reader, released = in_arrow_memory(file), weakref.ref(file)
    file.close()
    del file
    os.truncate(path, 0)
    assert released() is None  # nothing of Python's is left for one of Arrow's threads to release
    assert isinstance(reader, pa.BufferReader)
    assert reader.read() == b"3456789" + b"0123456789" * 999


def test_an_empty_file_is_no_bytes(tmp_path):
    (tmp_path / "empty").touch()
    with (tmp_path / "empty").open("rb") as file:
        assert in_arrow_memory(file).read() == b""
