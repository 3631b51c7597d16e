"""Row (c) of the edge's cost: one camera with a detector at 5 pictures a second, beside a bare loop that calls the same session on the same stream.

The bare loop is the least that anyone could write: OpenCV's capture, every picture that is due decoded and resized, ``session.run``, nothing
published. It gets the stream and the preprocessing of the node, so that the difference is what the agent adds.
"""

import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.cards import ARTIFACTS
from tests.rig.processes import Child

TITLE = "muki: (c) one camera with a detector at 5 pictures/s"
FPS = 5
LIMIT_RATIO = 1.10
MODEL = "people_vehicles"

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


def settings(url: str) -> dict[str, Any]:
    """Of the node."""
    return {
        "sources": [{"name": "gallery", "type": "camera", "camera": "gallery-cam", "url": url, "fps": FPS}],
        "processing": [{"name": "people", "type": "detector", "input": "gallery-cam", "model": MODEL}],
    }


@contextmanager
def bare_loop(url: str, log: Path) -> Iterator[Child]:
    with Child([sys.executable, "-c", BARE_LOOP, url, str(ARTIFACTS / f"{MODEL}.onnx")], log) as child:
        yield child


def rows(node: dict[str, float], bare: dict[str, float]) -> list[dict[str, Any]]:
    """The bare loop and the node, with the ratio of CPU time between them and whether it is within the limit."""
    ratio = node["cpu %"] / bare["cpu %"] if bare["cpu %"] else float("nan")
    peer = {"what": "bare loop of (c): the same stream and session (peer)", **bare, "cpu ÷ bare": 1.0, "rss ÷ bare": 1.0}
    found = {"what": TITLE, **node, "cpu ÷ bare": ratio, "rss ÷ bare": node["rss MB"] / bare["rss MB"]}
    empty = {"heavy imports": "needed", "limit": "", "within limit": ""}
    return [
        peer | empty,
        found | empty | {"limit": f"{LIMIT_RATIO:g} × its bare loop", "within limit": "yes" if ratio <= LIMIT_RATIO else "NO"},
    ]
