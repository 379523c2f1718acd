"""A recording stopped on the page: over when its files are whole; without a frame, not there."""

import json
import threading

from driven_scene import driven_chunk
from sink_drive import run_info

from realmaster_live.recording.recorder import Recorder
from realmaster_live.sinks.viewer.recordings import RecordingSwitch


def test_the_end_of_a_run_waits_for_a_recording_that_the_page_is_stopping(tmp_path, monkeypatch):
    closing, may_close, close = threading.Event(), threading.Event(), Recorder.close

    def slowly(recorder):
        closing.set()
        assert may_close.wait(30)
        close(recorder)

    monkeypatch.setattr(Recorder, "close", slowly)
    switch = RecordingSwitch(tmp_path)
    switch.start(run_info())
    for index in range(3):
        switch.write(driven_chunk(index, "front"))
    threads = [threading.Thread(target=switch.stop) for _ in ("page", "run")]
    threads[0].start()
    assert closing.wait(30)
    threads[1].start()
    threads[1].join(0.1)
    assert switch.state()["is_on"] and threads[1].is_alive()
    may_close.set()
    for thread in threads:
        thread.join(30)
    state = switch.state()
    assert not state["is_on"] and not state["error"]
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "meta.json").read_text())["complete"]


def test_a_recording_stopped_before_the_first_frame_is_said_and_leaves_nothing(tmp_path):
    switch = RecordingSwitch(tmp_path)
    switch.start(run_info())
    switch.write(driven_chunk(0, "front"))  # its tick may have begun before
    switch.stop()
    state = switch.state()
    assert not state["is_on"] and "no frame came" in state["error"]
    assert list(tmp_path.iterdir()) == []
    switch.start(run_info())
    assert switch.state()["error"] == ""
    switch.stop()
