"""Row (c) of the edge's cost: one camera with a detector at 5 pictures a second, beside a bare loop that calls the same session on the same stream.

The bare loop is the least that anyone could write: OpenCV's capture, every picture that is due decoded and resized, ``session.run``, nothing
published. It gets the stream, the preprocessing and the session's threads of the node, so that the difference is what the agent adds.

What the camera costs is the node of (b) with a camera less the node of (b) without: what a node costs that polls and watches is limited by (a) and
(b), and has no part in the bare loop. All three run at the same time and are read in windows; a figure is the median of its windows. So what else
the machine is at meets all of them alike.
"""

import statistics
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from models.cards import ARTIFACTS
from tests.rig.processes import Child

TITLE = "(c) all that and one camera with a detector at 5 pictures/s"
FPS = 5
LIMIT_RATIO = 1.10
WARM_UP = 15.0  # s: OpenCV, ONNX Runtime and the stream are there
WINDOW = 20.0  # s: two turns of the vibration of (b)
MODEL = "people_vehicles"
_SCHEDULED = 2  # with the process' number, the id that clock_getcpuclockid(3) gives on Linux

BARE_LOOP = textwrap.dedent(
    """
    import os, sys, time
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "rtsp_transport;tcp"
    import cv2, onnxruntime
    from models.detection import decode, preprocess
    url, path = sys.argv[1:]
    cv2.setNumThreads(1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
    last = 0.0
    while capture.grab():
        now = time.monotonic()
        if now - last < 0.18:
            continue
        last = now
        tensor, transform = preprocess(capture.retrieve()[1], (352, 352))
        decode(session.run(None, {"image": tensor})[0], 6, transform, 0.65)
    """
)


def with_camera(settings: dict[str, Any], url: str) -> dict[str, Any]:
    """A node's settings and, with them, the camera and its detector."""
    camera = {"name": "gallery", "type": "camera", "camera": "gallery-cam", "url": url, "fps": FPS}
    detector = {"name": "people", "type": "detector", "input": "gallery-cam", "model": MODEL}
    return {"sources": [*settings["sources"], camera], "processing": [*settings["processing"], detector]}


@contextmanager
def bare_loop(url: str, log: Path) -> Iterator[Child]:
    with Child([sys.executable, "-c", BARE_LOOP, url, str(ARTIFACTS / f"{MODEL}.onnx")], log) as child:
        yield child


def measure_together(pids: Mapping[str, int], seconds: float) -> dict[str, dict[str, list[float]]]:
    """Of each process in each window: CPU in percent of one core, and RSS at its end in MB. ``seconds`` are rounded up to whole windows."""
    processes = {name: psutil.Process(pid) for name, pid in pids.items()}
    found: dict[str, dict[str, list[float]]] = {name: {"cpu %": [], "rss MB": []} for name in pids}
    time.sleep(WARM_UP)
    before = {name: _cpu(process) for name, process in processes.items()}
    begun = time.monotonic()
    for window in range(1, max(1, -(-int(seconds) // int(WINDOW))) + 1):
        time.sleep(max(0.0, begun + window * WINDOW - time.monotonic()))
        for name, process in processes.items():
            now, used = _cpu(process)
            then, used_then = before[name]
            found[name]["cpu %"].append(100 * (used - used_then) / (now - then))
            found[name]["rss MB"].append(process.memory_info().rss / 1e6)
            before[name] = now, used
    return found


def _cpu(process: psutil.Process) -> tuple[float, float]:
    """Now, and the CPU seconds of all its threads by its own CPU clock: the kernel's clock ticks are too coarse for a window."""
    return time.monotonic(), time.clock_gettime((~process.pid << 3) | _SCHEDULED)


def rows(bare: dict[str, list[float]], without: dict[str, list[float]], node: dict[str, list[float]]) -> list[dict[str, Any]]:
    """The bare loop, the node of (b) beside it, the node with the camera, and what the camera adds, which is what has the limit."""
    added = [more - less for more, less in zip(node["cpu %"], without["cpu %"], strict=True)]  # of the same window
    peak = {name: max(one["rss MB"]) for name, one in (("bare", bare), ("without", without), ("node", node))}
    camera = _row("what the camera adds: (c) - (b)", added, peak["node"] - peak["without"], bare["cpu %"], peak["bare"])
    within = "yes" if camera["cpu ÷ bare"] <= LIMIT_RATIO else "NO"
    return [
        _row("bare loop of (c): the same stream and session (peer)", bare["cpu %"], peak["bare"], bare["cpu %"], peak["bare"]),
        _row("(b) at the same time", without["cpu %"], peak["without"], bare["cpu %"], peak["bare"]),
        _row(TITLE, node["cpu %"], peak["node"], bare["cpu %"], peak["bare"]),
        camera | {"limit": f"{LIMIT_RATIO:g} × its bare loop", "within limit": within},
    ]


def _row(what: str, cpu: list[float], rss: float, bare_cpu: list[float], bare_rss: float) -> dict[str, Any]:
    percent = statistics.median(cpu)
    ratio = statistics.median(one / peer for one, peer in zip(cpu, bare_cpu, strict=True))
    figures = {"cpu %": percent, "cpu s/h": 36 * percent, "rss MB": rss, "cpu ÷ bare": ratio, "rss ÷ bare": rss / bare_rss}
    return {"what": what, **figures, "heavy imports": "", "limit": "", "within limit": ""}
