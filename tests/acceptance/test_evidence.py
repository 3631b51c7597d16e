"""From the camera to the reviewer: a real node, broker and gateway, the node killed before anybody took its picture, and the page in Chromium."""

import hashlib
import time
import urllib.request
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from playwright.async_api import async_playwright, expect
from sqlalchemy import select

from gateway.alarms.tables import EVENT
from gateway.evidence import EVIDENCE_LOG, Picture
from tests.rig.fixed_detector import install
from tests.rig.processes import wait_for
from tests.rig.servers import Mosquitto
from tests.rig.site import Gateway, Node
from tests.rig.webapp import NODE, O2_LOW, WebSite, website

CHROMIUM = Path("/usr/bin/chromium")
WIDTH, HEIGHT = 640, 360
INTRUDER, OTHER = (0.1, 0.2, 0.3, 0.9), (0.6, 0.2, 0.8, 0.9)  # left, top, right, bottom as fractions


def scene() -> np.ndarray[Any, Any]:
    few = np.random.default_rng(7).integers(0, 255, (HEIGHT // 6, WIDTH // 6, 3), np.uint8)
    return cv2.resize(few, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def video(folder: Path) -> None:
    out = cv2.VideoWriter(str(folder / "cam.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, (WIDTH, HEIGHT))
    assert out.isOpened()
    for _ in range(10):
        out.write(scene())
    out.release()


def node(folder: Path, broker: Mosquitto) -> Node:
    folder.mkdir()
    video(folder)
    install(folder, [[*INTRUDER, 0.9], [*OTHER, 0.9]], ["person"], name="two")
    detector = {
        "name": "people",
        "type": "detector",
        "input": "belt-cam",
        "model": "two.onnx",
        "evidence": True,
        "zones": {"belt": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]},
        "privacy": [[[0.4, 0], [0.5, 0], [0.5, 1], [0.4, 1]]],
    }
    alarm = {
        "id": "on-belt",
        "point": "belt-cam/objects/belt/person",
        "condition": {"kind": "above", "limit": 0.5},
        "priority": "high",
        "title": {"es": "Persona en la faja", "en": "Person on the belt"},
    }
    source = {"name": "cam", "type": "camera", "camera": "belt-cam", "url": "cam.avi", "fps": 5, "loop": True}
    return Node(folder, "belt-1", broker.port, sources=[source], processing=[detector], alarms=[alarm])


def recognised(shown: np.ndarray[Any, Any], box: tuple[float, ...]) -> float:
    left, top, right, bottom = (round(share * side) for share, side in zip(box, (WIDTH, HEIGHT, WIDTH, HEIGHT), strict=True))
    return float(cv2.matchTemplate(shown, scene()[top + 8 : bottom - 8, left + 8 : right - 8], cv2.TM_CCOEFF_NORMED).max())


@pytest.mark.timeout(240)
def test_a_picture_outlives_a_killed_node_and_shows_only_whom_the_alarm_is_about(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, node(tmp_path / "node", broker) as agent:
        spool = tmp_path / "node" / "data" / "evidence"
        wait_for(lambda: list(spool.glob("*.jpg")), seconds=60, describe="the picture on the node's disk", log=agent)
        agent.kill()  # nobody has taken it: there is no gateway yet
        [kept] = spool.glob("*.jpg")
        with Gateway(tmp_path / "gateway", broker.port, {"type": "memory"}) as gateway:
            gateway.wait_ready()
            agent.start()
            wait_for(lambda: gateway.get("/api/v1/evidence"), seconds=90, describe="the picture at the gateway", log=agent)
            [one] = gateway.get("/api/v1/evidence")
            assert (one["node"], one["definition"], one["event"]) == ("belt-1", "on-belt", kept.stem)
            wait_for(lambda: not kept.exists(), seconds=60, describe="the node to let go of it", log=agent)
            with urllib.request.urlopen(f"{gateway.url}/api/v1/evidence/belt-1/{kept.stem}", timeout=10) as answer:  # noqa: S310 - loopback
                data = answer.read()
            assert hashlib.sha256(data).hexdigest() == one["sha256"]
            verdict = gateway.post(f"/api/v1/evidence/belt-1/{kept.stem}/verdict", verdict="true", who="Ana", note="")
            assert verdict == (200, {"verdict": "true"})
            assert gateway.get("/api/v1/evidence") == []
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert recognised(shown, INTRUDER) > 0.9
    assert recognised(shown, OTHER) < 0.4
    assert shown[:, round(0.42 * WIDTH) : round(0.48 * WIDTH)].max() < 30, "the privacy polygon is black"


def event_with_picture(site: WebSite) -> str:
    site.event()
    with site.services.engine.connect() as connection:
        event = str(connection.execute(select(EVENT.c.id)).scalars().first())
    image = scene()
    cv2.rectangle(image, (64, 72), (192, 324), (0, 220, 255), 3)
    data = bytes(cv2.imencode(".jpg", image)[1])
    assert site.services.evidence.keep(Picture(NODE, event, time.time_ns(), data)) == "kept"
    return event


@pytest.mark.skipif(not CHROMIUM.exists(), reason="THE PAGE IS NOT TESTED: no /usr/bin/chromium (apt-get install chromium)")
@pytest.mark.parametrize(
    ("language", "theme", "title", "none"),
    [("es", "light", "Revisión de imágenes", "No hay imágenes"), ("en", "dark", "Picture review", "No pictures wait")],
)
async def test_a_picture_is_judged_with_one_key(tmp_path: Path, language: str, theme: Any, title: str, none: str) -> None:
    async with website(tmp_path) as site, async_playwright() as playwright:
        event = event_with_picture(site)
        chromium = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        try:
            context = await chromium.new_context(color_scheme=theme, viewport={"width": 1280, "height": 900})
            page = await context.new_page()
            complaints: list[str] = []
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
            await page.goto(f"{site.url}/review?lang={language}")
            await expect(page.locator("h1")).to_have_text(title)
            await expect(page.locator("#picture")).to_be_visible()
            await page.wait_for_function("document.getElementById('picture').naturalWidth === 640")
            await page.screenshot(path=str(tmp_path / f"review-{theme}.png"), full_page=True)
            await page.keyboard.press("2")  # without a name: asks for it, and the cursor is there
            await expect(page.locator("#who")).to_be_focused()
            await page.keyboard.type("Ana 1")  # a digit in a name judges nothing
            await page.locator("#review").focus()
            await page.keyboard.press("2")
            await expect(page.locator("#none")).to_contain_text(none)
            await expect(page.locator("#figures td").nth(2)).to_have_text("1")
            await expect(page.locator("#shadows-none")).to_be_visible()
            site.journal.declare(NODE, [msgspec.structs.replace(O2_LOW, shadow=True)])
            site.event(O2_LOW)
            await page.reload()
            await expect(page.locator("#shadows td").nth(1)).to_have_text("1")
            assert complaints == []
        finally:
            await chromium.close()
        with site.services.engine.connect() as connection:
            acts = [tuple(row) for row in connection.execute(select(EVIDENCE_LOG.c.event, EVIDENCE_LOG.c.act, EVIDENCE_LOG.c.who))]
        assert acts == [(event, "viewed", "nobody logged in"), (event, "false", "Ana 1")]
