"""Pictures of every page for the operator's guide, in both languages and both colour schemes, from the demo as it runs.

    python -m tests.campaigns.screenshots [--out docs/images] [--wait 40]

Starts `muki demo` in a folder of its own, waits until its alarms are there, does what an operator does (acknowledges, shelves, notes, tests gas,
notes a blast), and takes the pictures. The picture that is judged comes from the simulated camera; the boxes on it are drawn here.
"""

import asyncio
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import cv2
import httpx
import numpy as np
from playwright.async_api import Browser, async_playwright

from contract.alarms import AlarmDefinition, Condition, ConditionKind, Priority
from gateway.evidence import Picture
from simulators.field.camera_scene import Scene
from tests.acceptance.test_page import ARGUMENTS, CHROMIUM
from tests.rig.processes import MUKI, Child, free_port, wait_for
from tests.rig.webapp import CO_HIGH, NODE, WebSite, website
from tests.unit.test_link import NOTIFY, link_of

LANGUAGES = ("es", "en")
SCHEMES = ("light", "dark")
WIDTH = 800  # pixels of a picture in the guide
PAGES = {
    "alarms": "/",
    "nodes": "/nodes",
    "plan": "/plan",
    "assets": "/assets",
    "asset": "/asset/pump-1/slurry-pump-1",
    "gas": "/gas",
    "gas_test": "/gas/test/1",
    "shift": "/shift",
    "wall": "/wall",
}
INTRUDER = AlarmDefinition(
    "person-on-belt",
    "gallery-cam/objects/belt/person",
    Condition(ConditionKind.ABOVE, 0.5),
    Priority.HIGH,
    title={"es": "Persona en la faja", "en": "Person on the belt"},
)


def operate(url: str) -> str:
    """What an operator does; the key of an alarm whose story is worth a look."""
    with httpx.Client(base_url=f"{url}/api/v1", headers={"Origin": url}, timeout=20) as client:
        alarms = client.get("/alarms").json()
        first = alarms[0]["key"]
        open_ones = [one["key"] for one in alarms if one["state"].endswith("unacknowledged") and one["active"]]
        said = {"who": "Ana Quispe", "note": "ventilador 3 en marcha, frente despejado"}
        for key in open_ones[1:]:
            client.post(f"/alarms/{key}/acknowledge", json=said)
        shelvable = next((one["key"] for one in client.get("/alarms").json() if one["shelvable"] and one["state"] == "acknowledged"), None)
        if shelvable:
            until = (time.time() + 7200) * 1000
            client.post(
                f"/alarms/{shelvable}/shelve", json={"who": "Ana Quispe", "reason": "limpieza del lente programada", "until": until}
            )
        client.post("/shift/notes", json={"who": "Ana Quispe", "text": "Revisar la manga del ventilador 3 a las 03:00"})
        client.post("/assets/pump-1/slurry-pump-1/notes", json={"who": "Luis Rojas", "text": "Rodamiento pedido, OT-4711"})
        client.post("/gas/blasts", json={"place": "heading-3", "who": "Luis Rojas", "note": "disparo del turno"})
        measured = {"O2": 20.8, "CO": 3, "CO2": 700, "NO2": 0.2}
        test = {"place": "heading-3", "readings": measured, "instrument": "Altair 5X 4711", "calibrated": "2026-01-15", "who": "Ana Quispe"}
        client.post("/gas/tests", json={**test, "told": "guardia B"})
        return str(first)


async def shoot(browser: Browser, url: str, name: str, path: str, out: Path, *, height: int = 900) -> None:
    for language in LANGUAGES:
        for scheme in SCHEMES:
            context = await browser.new_context(
                locale="es-PE" if language == "es" else "en-GB",
                color_scheme="dark" if scheme == "dark" else "light",
                viewport={"width": 1280, "height": height},
                reduced_motion="reduce",
            )
            page = await context.new_page()
            await page.goto(f"{url}{path}?lang={language}")
            await page.wait_for_timeout(2500)
            keep(await page.screenshot(full_page=name not in {"alarms", "wall"}), out / f"{name}-{language}-{scheme}.jpg")
            await context.close()


def keep(png: bytes, path: Path) -> None:
    """Small enough for a repository, large enough to read."""
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    small = cv2.resize(picture, None, fx=WIDTH / picture.shape[1], fy=WIDTH / picture.shape[1], interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 55])
    assert done
    path.write_bytes(bytes(data))


def scene() -> bytes:
    """A JPEG of the simulated camera with the box that the detector would draw."""
    drawn, truth = Scene().picture(1, 3.0)
    frame = drawn.copy()
    for box in truth.boxes:
        if box.label == "person":
            cv2.rectangle(frame, (box.x - 4, box.y - 4), (box.x + box.width + 4, box.y + box.height + 4), (0, 140, 255), 2)
    done, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert done
    return bytes(data)


def review(site: WebSite) -> None:
    site.born(alarms=[INTRUDER])
    for _ in range(3):
        site.event(INTRUDER, value=1.0)
        site.evidence.keep(Picture(NODE, f"e{site._events:05}", time.time_ns(), scene()))
        site.event(INTRUDER, active=False, value=0.0)
    site.evidence.judge(NODE, "e00001", "true", who="Ana Quispe", note="", now_ns=time.time_ns())


async def everything(url: str, out: Path) -> None:
    key = operate(url)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        try:
            await asyncio.sleep(10)
            for name, path in (PAGES | {"story": f"/alarm/{key}"}).items():
                await shoot(browser, url, name, path, out)
            with tempfile.TemporaryDirectory() as folder:
                async with website(Path(folder), born=False, notify=NOTIFY) as site:
                    review(site)
                    await shoot(browser, site.url, "review", "/review", out)
                    site.born(alarms=[INTRUDER, CO_HIGH])
                    site.event(CO_HIGH, value=41.5)
                    await shoot(browser, site.url, "acknowledge", f"/ack/{link_of(site)}", out)
        finally:
            await browser.close()


def standing(url: str) -> list[Any]:
    try:
        found: list[Any] = httpx.get(f"{url}/api/v1/alarms", timeout=10).json()
    except httpx.HTTPError:  # it does not listen yet
        return []
    return found


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("docs/images"))
@click.option("--wait", default=40.0, help="Seconds that the mine runs with its first alarm before somebody acts.")
def main(out: Path, wait: float) -> None:
    """Takes the pictures of the operator's guide."""
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        demo = stack.enter_context(Child([*MUKI, "demo", "--dir", str(folder / "demo"), "--port", str(port)], folder / "demo.log"))
        wait_for(lambda: standing(url), seconds=120, describe="an alarm of the demo", log=demo)
        time.sleep(wait)
        asyncio.run(everything(url, out))
    click.echo(f"{len(list(out.glob('*-*-*.jpg')))} pictures in {out}")


if __name__ == "__main__":
    main()
