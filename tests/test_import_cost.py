import subprocess
import sys

CORE = ("chunk", "chunker", "pipeline", "protocols", "errors", "optional", "stats", "bounded_queue")
HEAVY = {"torch", "carla", "cv2", "av", "onnxruntime", "pyarrow", "rich", "aiohttp", "numba"}


def test_the_core_costs_numpy_only():
    names = ", ".join(f"realmaster_live.{name}" for name in CORE)
    script = f"import sys, realmaster_live, {names}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    assert not loaded & HEAVY
