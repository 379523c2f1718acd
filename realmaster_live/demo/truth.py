"""The photoreal truth of a recording made in the embedded town: its frames, path-traced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from realmaster_live.demo.settings import Truth
from realmaster_live.errors import RecordingError
from realmaster_live.recording import Recording
from realmaster_live.recording.about import SCENE
from realmaster_live.sinks.drawing import png_bytes


def trace(truth: Truth) -> Iterator[Path]:
    """Yield the path of each picture once it is written; seconds a frame.

    Raises:
        RecordingError: the recording holds no scene, or not the scene of a frame.
    """
    from realmaster_live.minitown.models.town import build_town
    from realmaster_live.minitown.plan.network import make_network
    from realmaster_live.minitown.server.state import read_states
    from realmaster_live.minitown.truth.pathtrace import PathTracer

    recording = Recording(truth.recording, verify=False)
    log = truth.recording / SCENE
    if not log.exists():
        raise RecordingError(
            f"expected {log}, got no such file: only drives of realmaster demo, or with minitown's "
            "--state-log put there, can be traced"
        )
    camera_name = recording.cameras[0]
    numbers = recording.table("frames", camera_name)["frame_id"].to_pylist()
    wanted = set(numbers[:: truth.every])
    known = recording.meta.about.source.cameras.get(camera_name)
    camera = None if known is None or known.actor is None else known.actor.id
    tracer = None
    truth.folder.mkdir(parents=True, exist_ok=True)
    for logged in read_states(log):
        state = logged.state
        if state.frame not in wanted:
            continue
        view = next((one.view for one in logged.cameras if one.actor_id == camera), None)
        if view is None:
            raise RecordingError(
                f"expected camera {camera} at frame {state.frame} of {log}, got none: record again"
            )
        tracer = tracer or PathTracer(build_town(make_network(state.town_seed)), spp=truth.spp)
        path = truth.folder / f"{state.frame:08d}.png"
        path.write_bytes(png_bytes(tracer.render(state, view)))
        wanted.remove(state.frame)
        yield path
    if wanted:
        raise RecordingError(
            f"expected the scene of every frame in {log}, got none for {len(wanted)} of them: "
            "record again"
        )
