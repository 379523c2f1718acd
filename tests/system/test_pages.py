"""Pages that need nothing else, and tables of plain text."""

import base64
import re

import cv2
import numpy as np
import pytest

from realmaster_live.errors import PairError
from realmaster_live.system.pages import aligned, embedded, page, table, write_page


def test_a_page_holds_its_style_and_script_and_escapes_its_title():
    text = page("A <drive>", "<p>body</p>", style="p { color: red; }", script="let x = 1;")
    assert text.startswith("<!doctype html>") and text.count("<style>") == 1
    assert "<title>A &lt;drive&gt;</title>" in text
    assert "p { color: red; }" in text and "<script>let x = 1;</script>" in text
    assert "<script>" not in page("A", "")


def test_a_table_has_a_row_for_each():
    assert table([("a", "1")], ("name", "count")) == (
        "<table><tr><th>name</th><th>count</th></tr><tr><td>a</td><td>1</td></tr></table>"
    )


def test_a_picture_is_in_the_page():
    picture = np.full((6, 8, 3), (200, 30, 60), np.uint8)
    image = embedded(picture, "a & b", quality=95)
    assert 'alt="a &amp; b"' in image
    data = base64.b64decode(re.search(r"base64,([^\"]+)", image)[1])
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert abs(back.astype(int) - picture).max() < 12


def test_columns_are_as_wide_as_their_widest_cell():
    rows = [("a", "10", "x"), ("long", "5")]
    assert aligned(rows) == ["a     10  x", "long   5"]
    assert aligned(rows, left=3) == ["a     10  x", "long  5"]
    assert aligned([]) == []


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(PairError, match=r"expected to write .*none/a\.html, got No such file"):
        write_page(tmp_path / "none" / "a.html", "text", error=PairError)
