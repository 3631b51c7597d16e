"""The page folds what a node says of itself: what it knows as such is what the agent declares."""

import re
from pathlib import Path

from edge.disk_alarms import disk_points
from edge.health import health_points, module_point

SCRIPT = Path(__file__).parents[2] / "gateway" / "web" / "static" / "values.js"


def test_the_page_knows_every_point_of_a_node_s_own() -> None:
    own = [*health_points("n"), *disk_points("n"), *(module_point("n", kind, "x") for kind in ("source", "processor", "output"))]
    known = re.search(r"OF_THE_NODE = new Set\(\[(.*?)\]\)", SCRIPT.read_text("utf-8"))
    assert known is not None
    assert {point.split("/")[1] for point in own} == set(re.findall(r'"(\w+)"', known[1]))
