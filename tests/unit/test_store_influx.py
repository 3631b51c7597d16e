"""InfluxDB as it is: killed, away, locked, full of foreign types, and seen through the official client."""

import json
import shutil
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from pydantic import ValidationError

from contract.values import Level
from gateway.store import Bucket, Sample, Series, StoreFrame, StoreRefused, StoreUnavailable
from gateway.store.influx import InfluxStore
from gateway.store.influx_lines import LineEncoder, sample_of
from gateway.store.influx_server import is_loopback
from tests.rig.processes import free_port
from tests.rig.servers import Influx

SECOND = 1_000_000_000
T0 = 1_763_870_400 * SECOND
CO = Series("node-1", "gas-2/co")
O2 = Series("node-1", "gas-2/o2")
_numbers = count()


class SecuredInflux(Influx):
    """The same server with accounts."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._environment["INFLUXDB_HTTP_AUTH_ENABLED"] = "true"


class Newer:
    """An InfluxDB 1.x that says it is a later version and takes ``/api/v2/write``: what the official client needs."""

    def __init__(self, behind: str, version: str) -> None:
        self.behind, self.version = behind, version
        self.failing = 0
        self.writes: list[tuple[str, dict[str, str]]] = []
        self.url = ""

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        parts = urlsplit(path)
        if parts.path == "/api/v2/write":
            if self.failing:
                return self.failing, json.dumps({"code": "error", "message": "not now"}).encode()
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            self.writes.append((asked["bucket"], headers))
            path = "/write?" + urlencode({"db": asked["bucket"], "precision": asked["precision"]})
        kept = {name: value for name, value in headers.items() if name.lower() in {"content-type", "content-encoding"}}
        request = urllib.request.Request(self.behind + path, data=body if method == "POST" else None, headers=kept, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return answer.status, answer.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()


@contextmanager
def newer(behind: str, version: str) -> Iterator[Newer]:
    server = Newer(behind, version)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def _answer(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content = server.answer(method, self.path, dict(self.headers), body)
            self.send_response(status)
            if server.version:
                self.send_header("X-Influxdb-Version", server.version)
            self.send_header("Content-Type", "application/json")
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        server.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        listening.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="muki-influx-"))
    with Influx(folder) as server:
        yield server.url
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database() -> str:
    return f"test_{next(_numbers)}"


def opened(url: str, **settings: object) -> InfluxStore:
    return InfluxStore(InfluxStore.Settings.model_validate({"url": url, **settings}))


def frame(at: int, value: float, series: Series = CO) -> StoreFrame:
    return StoreFrame(series.node, at, {series.point: value}, {})


def ask(url: str, query: str, database: str = "", **account: str) -> dict[str, object]:
    body = urlencode({"q": query, "db": database, "epoch": "ns"}).encode()
    with urllib.request.urlopen(f"{url}/query?{urlencode(account)}", data=body, timeout=10) as answer:  # noqa: S310
        decoded: dict[str, object] = json.load(answer)
        return decoded


def put(url: str, database: str, lines: str) -> None:
    with urllib.request.urlopen(f"{url}/write?db={database}", data=lines.encode(), timeout=10):  # noqa: S310
        pass


# --- what reaches the disk


def test_everything_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    with Influx(tmp_path / "influx") as server, closing(opened(server.url)) as store:
        acknowledged: list[int] = []
        stop = threading.Event()

        def write() -> None:
            at = 0
            while not stop.is_set():
                try:
                    store.write([frame(T0 + at * SECOND, float(at))])
                except StoreUnavailable:
                    return
                acknowledged.append(at)
                at += 1

        writer = threading.Thread(target=write)
        writer.start()
        while len(acknowledged) < 50 and writer.is_alive():
            stop.wait(0.01)
        server.kill()
        writer.join()
        stop.set()
        assert len(acknowledged) >= 50
        server.start()
        found = {sample.time_ns: sample.value for sample in store.raw(CO, T0, T0 + 10**6 * SECOND, limit=1_000_000)}
        assert all(found[T0 + at * SECOND] == at for at in acknowledged)


def test_a_server_that_is_away_is_unavailable_and_comes_back(tmp_path: Path) -> None:
    server = Influx(tmp_path / "influx")
    with closing(opened(server.url)) as store:
        with pytest.raises(StoreUnavailable, match="does not answer"):
            store.write([frame(T0, 1.0)])
        assert not store.health().ok
        with server:
            store.write([frame(T0, 1.0)])
            assert store.health().ok
            assert store.health().name.startswith("influxdb 1.")
            server.kill()
            with pytest.raises(StoreUnavailable, match="no answer"):
                store.write([frame(T0 + SECOND, 2.0)])
            with pytest.raises(StoreUnavailable, match="no answer"):
                store.latest()
            server.start()
            store.write([frame(T0 + SECOND, 2.0)])
            assert [sample.value for sample in store.raw(CO, T0, T0 + 9 * SECOND)] == [1.0, 2.0]


def test_a_database_that_was_dropped_is_made_again(url: str, database: str) -> None:
    with closing(opened(url, database=database)) as store:
        store.write([frame(T0, 1.0)])
        ask(url, f'DROP DATABASE "{database}"')
        with pytest.raises(StoreUnavailable, match="has no database"):
            store.write([frame(T0 + SECOND, 2.0)])
        store.write([frame(T0 + SECOND, 2.0)])
        assert [sample.value for sample in store.raw(CO, T0, T0 + 9 * SECOND)] == [2.0]


# --- refusals


def test_exactly_the_frames_of_another_type_are_refused(url: str, database: str) -> None:
    with closing(opened(url, database=database)) as store:
        store.write([frame(T0, 1.0, O2)])
        put(url, database, f"readings,asset=gas-2,node=node-1 co=1i {T0}")
        frames = [frame(T0 + at * SECOND, float(at), CO if at in {3, 17, 90} else O2) for at in range(1, 100)]
        with pytest.raises(StoreRefused, match="field type conflict") as refused:
            store.write(frames)
        assert [one.time_ns for one in refused.value.frames] == [T0 + at * SECOND for at in (3, 17, 90)]
        assert len(store.raw(O2, T0, T0 + 200 * SECOND)) == 97


def test_what_is_older_than_the_retention_is_refused_at_once(url: str, database: str) -> None:
    ask(url, f'CREATE DATABASE "{database}" WITH DURATION 1h')
    with closing(opened(url, database=database)) as store:
        frames = [frame(SECOND * at, float(at)) for at in range(1, 2000)]
        with pytest.raises(StoreRefused, match="retention policy") as refused:
            store.write(frames)
        assert len(refused.value.frames) == len(frames)
        assert store.series() == []


# --- the way in


def test_a_wrong_password_and_a_missing_right_say_what_would_be_right(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n")
    with SecuredInflux(tmp_path / "influx") as server:
        ask(server.url, "CREATE USER admin WITH PASSWORD 'secret' WITH ALL PRIVILEGES")
        ask(server.url, "CREATE USER muki WITH PASSWORD 'secret'", u="admin", p="secret")
        with closing(opened(server.url)) as store, pytest.raises(StoreUnavailable, match=r"401.*set username and password_file"):
            store.write([frame(T0, 1.0)])
        account = {"username": "muki", "password_file": password}
        with closing(opened(server.url, **account)) as store, pytest.raises(StoreUnavailable, match=r"let us in|may not make it"):
            store.write([frame(T0, 1.0)])
        ask(server.url, "CREATE DATABASE muki", u="admin", p="secret")
        ask(server.url, "GRANT ALL ON muki TO muki", u="admin", p="secret")
        with closing(opened(server.url, **account)) as store:
            store.write([frame(T0, 1.0)])
            assert store.latest() == {CO: Sample(T0, 1.0, "good")}


def test_something_else_at_the_address_is_told(url: str) -> None:
    with newer(url, "") as other, closing(opened(other.url)) as store, pytest.raises(StoreUnavailable, match="this is no InfluxDB"):
        store.write([frame(T0, 1.0)])
    with closing(opened(f"http://127.0.0.1:{free_port()}")) as store, pytest.raises(StoreUnavailable, match="is the url right"):
        store.latest()


@pytest.mark.parametrize("wrong", ["localhost:8086", "mqtt://broker", "http://", "http://a/?q=1", "http://user:secret@host"])
def test_a_wrong_url_says_how_one_looks(wrong: str) -> None:
    with pytest.raises(ValidationError, match="http://HOST:PORT"):
        InfluxStore.Settings.model_validate({"url": wrong})


def test_a_secret_that_cannot_be_read_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"token_file .*cannot be read"):
        opened("http://127.0.0.1:1", token_file=tmp_path / "none")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ValueError, match=r"password_file .*is empty"):
        opened("http://127.0.0.1:1", password_file=tmp_path / "empty")


# --- the official client, from 1.8 on


@pytest.mark.parametrize("version", ["1.8.10", "v2.7.11"])
def test_the_official_client_writes_from_1_8_on(url: str, database: str, version: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-token\n")
    ask(url, f'CREATE DATABASE "{database}"')
    with newer(url, version) as server, closing(opened(server.url, database=database, token_file=token, org="mine")) as store:
        store.write([StoreFrame("node-1", T0, {"gas-2/co": 1.5, "gas-2/o2": 20.9}, {"gas-2/o2": "uncertain:stale"})])
        store.write([StoreFrame("node-1", T0, {"gas-2/o2": 20.8}, {})])
        assert store.raw(O2, T0, T0 + 1) == [Sample(T0, 20.8, "good")]
        assert store.latest() == {CO: Sample(T0, 1.5, "good"), O2: Sample(T0, 20.8, "good")}
        assert [bucket for bucket, _ in server.writes] == [database, database]
        assert all(headers["Authorization"] == "Token a-token" for _, headers in server.writes)
        put(url, database, f"readings,asset=gas-2,node=node-1 no2=1i {T0}")
        with pytest.raises(StoreRefused, match="field type conflict") as refused:
            store.write([frame(T0 + SECOND, 2.0), frame(T0 + 2 * SECOND, 2.0, Series("node-1", "gas-2/no2"))])
        assert [one.time_ns for one in refused.value.frames] == [T0 + 2 * SECOND]
        for status in (401, 429, 503):
            server.failing = status
            with pytest.raises(StoreUnavailable, match=str(status)):
                store.write([frame(T0 + 3 * SECOND, 3.0)])
        server.failing = 0
        store.write([frame(T0 + 3 * SECOND, 3.0)])
        assert [sample.value for sample in store.raw(CO, T0, T0 + 9 * SECOND)] == [1.5, 2.0, 3.0]


def test_a_missing_bucket_of_2_x_says_how_to_make_it(url: str) -> None:
    told = r"influx bucket create -n nowhere; influx v1 dbrp create"
    with (
        newer(url, "2.7.11") as server,
        closing(opened(server.url, database="nowhere")) as store,
        pytest.raises(StoreUnavailable, match=told),
    ):
        store.write([frame(T0, 1.0)])


# --- how a reading stands there


def test_a_line_is_what_a_person_would_write() -> None:
    encoder = LineEncoder()
    values = {"gas-2/co": 12.5, "pump-3/vibration/de/rms": 1e21, "gas-2/o2": 20.0, "gas-2/time": 3}
    expected = (
        b"readings,asset=gas-2,node=node-1 co=12.5,o2=20.0,time.signal=3 7\nreadings,asset=pump-3,node=node-1 vibration/de/rms=1e21 7\n"
    )
    assert encoder.encode(StoreFrame("node-1", 7, values, {})) == expected
    assert encoder.encode(StoreFrame("node-1", 7, values, {})) == expected, "the template gives the same"
    quality = {"gas-2/co": "uncertain:stale", "gas-2/o2": "bad:out_of_range", "gas-2/no2": "bad:wire_break"}
    assert encoder.encode(StoreFrame("node-1", 7, {"gas-2/co": 1.5, "gas-2/o2": 99.0}, quality)) == (
        b'readings,asset=gas-2,node=node-1 co=1.5,co.quality="uncertain:stale",o2.quality="bad:out_of_range 99.0",no2.quality="bad:wire_break" 7\n'
    )
    assert encoder.encode(StoreFrame("node-1", 7, {}, {})) == b""


@pytest.mark.parametrize(
    ("number", "text", "sample"),
    [
        (1.0, None, Sample(7, 1.0, "good")),
        (1, "good", Sample(7, 1.0, "good")),
        (1.0, "uncertain:stale", Sample(7, 1.0, "uncertain:stale")),
        (1.0, "uncertain:stale none", Sample(7, None, "uncertain:stale")),
        (1.0, "bad:stuck", Sample(7, None, "bad:stuck")),
        (1.0, "bad:stuck 4.5", Sample(7, 4.5, "bad:stuck")),
        (None, None, None),
        (None, "uncertain:stale", None),
    ],
)
def test_the_text_decides_about_the_number(number: float | None, text: str | None, sample: Sample | None) -> None:
    assert sample_of(7, number, text) == sample


def test_a_good_history_carries_no_quality_at_all(url: str, database: str) -> None:
    with closing(opened(url, database=database)) as store:
        batch = [frame(T0 + at * SECOND, float(at)) for at in range(20)]
        store.write(batch)
        store.write(batch)
        store.write([frame(T0 - SECOND, 5.0)])
    assert "quality" not in json.dumps(ask(url, "SHOW FIELD KEYS", database))
    assert "void" not in json.dumps(ask(url, "SHOW FIELD KEYS", database))


def test_a_chart_over_overwritten_numbers_is_right_beside_the_others(url: str, database: str) -> None:
    with closing(opened(url, database=database)) as store:
        store.write([frame(T0 + at * SECOND, float(at)) for at in range(12)])
        store.write([StoreFrame("node-1", T0 + 5 * SECOND, {"gas-2/co": 1000.0}, {"gas-2/co": "bad:out_of_range"})])
        store.write([StoreFrame("node-1", T0 + at * SECOND, {}, {"gas-2/co": "bad:stale"}) for at in (8, 9, 10, 11)])
        assert store.buckets(CO, T0, T0 + 12 * SECOND, 3) == [
            Bucket(T0, 0.0, 3.0, 1.5, 4, 3.0, Level.GOOD),
            Bucket(T0 + 4 * SECOND, 4.0, 7.0, (4.0 + 6.0 + 7.0) / 3, 3, 7.0, Level.BAD),
        ]


def test_a_name_that_no_point_can_have_finds_nothing(url: str, database: str) -> None:
    with closing(opened(url, database=database)) as store:
        store.write([frame(T0, 1.0)])
        for series in (Series("node-1' OR 'a'='a", "gas-2/co"), Series("node-1", 'gas-2/co" FROM readings; DROP DATABASE x')):
            assert store.raw(series, T0, T0 + SECOND) == []
            assert store.buckets(series, T0, T0 + SECOND, 3) == []
            assert store.latest([series]) == {}
        assert store.latest([CO]) == {CO: Sample(T0, 1.0, "good")}


def test_lines_are_compressed_only_on_their_way_to_another_machine() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("localhost")
    assert is_loopback("::1")
    assert not is_loopback("10.0.0.7")
    assert not is_loopback("influx.mine.example")
