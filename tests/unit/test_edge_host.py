"""What the computer tells: read from a tree of files as the kernel makes them, on a Pi, on an eMMC board, and on a machine that tells nothing."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from contract.alarms import AlarmDefinition, AlarmEvent
from contract.values import GOOD, Reading, bad
from edge import clock
from edge.clock import SECOND
from edge.health import Counters, Health
from edge.host import Host, HostState
from edge.host_alarms import host_alarms
from rules.engine import AlarmRules

EMPTY = HostState(None, None, None, None, None, None, None, None, None)


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def throttled(root: Path, flags: str) -> None:
    write(root, "sys/devices/platform/soc/soc:firmware/get_throttled", f"{flags}\n")


def disk(root: Path, data: Path, *, partition: bool = True) -> str:
    """A disk as /sys shows it, with the folder ``data`` on its partition; returns its path below the root."""
    place = "sys/devices/platform/mmc1/block/mmcblk0"
    write(root, f"{place}/stat", "   100 0 800 20   2000 0 4000000 90 0 50 110 0 0 0 0 0 0\n")
    number = data.stat().st_dev
    links = root / "sys/dev/block"
    links.mkdir(parents=True)
    target = root / place
    if partition:
        write(root, f"{place}/mmcblk0p2/partition", "2\n")
        write(root, f"{place}/mmcblk0p2/stat", "1 1 1 1 1 1 1 1\n")  # not what is asked for
        target /= "mmcblk0p2"
    (links / f"{os.major(number)}:{os.minor(number)}").symlink_to(os.path.relpath(target, links))
    return place


def test_a_machine_that_tells_nothing_is_no_trouble(tmp_path: Path) -> None:
    assert Host(tmp_path, tmp_path / "nothing").look() == EMPTY
    readings = Health("n").readings(Counters(0, 0, 0, 0, None, 0, 0), clock.Synchronisation(None, None), EMPTY, 5)
    told = {reading.point: reading for reading in readings}
    for name in ("undervoltage", "throttled", "load", "uptime", "memory_available", "temperature"):
        assert told[f"n/host/{name}"] == Reading(f"n/host/{name}", 5, None, bad("not_available"))
    for name in ("written", "wear", "reserve"):
        assert told[f"n/disk/{name}"].quality == bad("not_available")


def test_this_machine_tells_what_every_linux_does() -> None:
    state = Host(Path("/")).look()
    assert state.memory_available is not None
    assert 10 < state.memory_available < 1e7
    assert state.uptime is not None
    assert abs(state.uptime - float(Path("/proc/uptime").read_text().split()[0])) < 60
    assert state.load is not None
    assert 0 <= state.load < 1000


def test_a_node_in_health_tells_numbers_in_their_units(tmp_path: Path) -> None:
    root = tmp_path / "root"
    data = tmp_path / "data"
    data.mkdir()
    write(root, "proc/meminfo", "MemTotal:        3884288 kB\nMemFree:         100000 kB\nMemAvailable:    2000000 kB\n")
    write(root, "proc/loadavg", f"{2.0 * (os.cpu_count() or 1)} 0.10 0.05 1/200 1234\n")
    write(root, "proc/uptime", "86400.25 300000.00\n")
    write(root, "sys/class/thermal/thermal_zone0/temp", "48312\n")
    write(root, "sys/class/thermal/thermal_zone1/temp", "51000\n")
    write(root, "sys/class/thermal/thermal_zone2/temp", "a sensor that fails\n")
    write(root, "sys/class/thermal/cooling_device0/temp", "99000\n")
    throttled(root, "0x0")
    place = disk(root, data)
    write(root, f"{place}/device/life_time", "0x03 0x01\n")
    write(root, f"{place}/device/pre_eol_info", "0x01\n")
    assert Host(data, root).look() == HostState(51.0, False, False, 2048.0, 2.0, 86400.25, 2048.0, 30.0, 1.0)


@pytest.mark.parametrize(
    ("life", "reserve", "wear", "spare"),
    [
        ("0x0b 0x02", "0x03", 110.0, 3.0),  # beyond what it was made for
        ("0x00 0x00", "0x00", None, None),  # not defined by the maker
        ("0x01 0x0a", "0x02", 100.0, 2.0),
        ("0xff 0xff", "0x09", None, None),
        ("nonsense", "", None, None),
    ],
)
def test_the_wear_of_an_emmc(life: str, reserve: str, wear: float | None, spare: float | None, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    place = disk(tmp_path, data, partition=False)
    write(tmp_path, f"{place}/device/life_time", life)
    write(tmp_path, f"{place}/device/pre_eol_info", reserve)
    state = Host(data, tmp_path).look()
    assert (state.disk_wear, state.disk_reserve, state.disk_written) == (wear, spare, 2048.0)


def test_an_sd_card_tells_what_was_written_and_not_how_worn_it_is(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    disk(tmp_path, data)
    state = Host(data, tmp_path).look()
    assert (state.disk_written, state.disk_wear, state.disk_reserve) == (2048.0, None, None)


@pytest.mark.parametrize(
    ("flags", "under", "slowed"),
    [
        (["0x0"], [False], [False]),
        (["0x50005"], [True], [True]),
        (["0x1", "0x0"], [True, False], [False, False]),
        (["0x8"], [False], [True]),  # soft temperature limit
        (["0x50000", "0x50000"], [True, False], [True, False]),  # it happened before we looked: told once, on a kernel that never clears it
        (["0x0", "0x10000", "0x0", "0x10000"], [False, True, False, True], [False] * 4),  # between two looks, and cleared by the kernel
        (["0x20000"], [False], [True]),
        (["?"], [None], [None]),
    ],
)
def test_the_firmware_of_a_pi_tells_under_voltage_and_throttling(
    flags: list[str], under: list[bool | None], slowed: list[bool | None], tmp_path: Path
) -> None:
    host = Host(tmp_path, tmp_path)
    looks = []
    for each in flags:
        throttled(tmp_path, each)
        looks.append(host.look())
    assert [look.undervoltage for look in looks] == under
    assert [look.throttled for look in looks] == slowed


def test_without_the_firmware_the_kernels_own_driver_tells_under_voltage(tmp_path: Path) -> None:
    write(tmp_path, "sys/class/hwmon/hwmon0/name", "cpu_thermal\n")
    write(tmp_path, "sys/class/hwmon/hwmon0/in0_lcrit_alarm", "1\n")  # another chip's
    write(tmp_path, "sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    write(tmp_path, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n")
    host = Host(tmp_path, tmp_path)
    assert host.look().undervoltage is False
    write(tmp_path, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    assert host.look().undervoltage is True
    assert host.look().throttled is None
    throttled(tmp_path, "0x0")
    assert host.look().undervoltage is True  # whichever tells


# --- the alarms ---


def raised(looks: Sequence[tuple[float, str, float | None]]) -> list[tuple[float, str, str]]:
    """Second, alarm and transition for readings (second, point, value)."""
    rules = AlarmRules(host_alarms("n"), "n", {})
    found: list[tuple[float, str, str]] = []

    def note(second: float, events: list[AlarmEvent]) -> None:
        found.extend((second, event.definition, str(event.transition)) for event in events)

    last = 0.0
    for second, point, value in looks:
        for tick in range(int(last), int(second), 10):
            note(tick, list(rules.tick(instant(tick))))
        reading = Reading(f"n/{point}", instant(second).wall_ns, value, bad("not_available") if value is None else GOOD)
        note(second, list(rules.update(reading, instant(second))))
        last = second
    return found


def instant(seconds: float) -> clock.Instant:
    return clock.Instant(1_764_000_000 * SECOND + round(seconds * 1e9), round(seconds * 1e9))


def test_a_supply_that_sags_now_and_then_is_one_alarm() -> None:
    looks = [(10.0 * i, "host/undervoltage", float(i % 12 == 0)) for i in range(60)]
    looks += [(600.0 + 10 * i, "host/undervoltage", 0.0) for i in range(70)]
    events = raised(looks)
    assert [(name, transition) for _, name, transition in events] == [("host-undervoltage", "active"), ("host-undervoltage", "normal")]
    assert events[0][0] == 0
    assert events[1][0] >= 480 + 600


def test_heat_for_a_moment_is_no_alarm_and_for_a_minute_is_one() -> None:
    assert raised([(0, "host/throttled", 1.0), (30, "host/throttled", 0.0), (200, "host/throttled", 0.0)]) == []
    events = raised([(10.0 * i, "host/throttled", 1.0) for i in range(12)])
    assert [(name, transition) for _, name, transition in events] == [("host-throttled", "active")]


def test_a_clock_without_a_server_is_an_alarm_after_a_quarter_of_an_hour() -> None:
    events = raised([(10.0 * i, "clock/synchronised", 0.0) for i in range(100)])
    assert [name for _, name, _ in events] == ["host-clock"]
    assert 890 <= events[0][0] <= 920
    assert raised([(10.0 * i, "clock/synchronised", float(i > 60)) for i in range(100)]) == []  # it took ten minutes to find one


@pytest.mark.parametrize(
    ("point", "fine", "wrong", "alarm"),
    [("disk/wear", 80.0, 90.0, "host-disk-worn"), ("disk/reserve", 1.0, 2.0, "host-disk-reserve")],
)
def test_a_disk_near_its_end_is_an_alarm_and_one_that_tells_nothing_is_none(point: str, fine: float, wrong: float, alarm: str) -> None:
    assert raised([(0, point, fine), (10, point, None), (20, point, None)]) == []
    assert [name for _, name, _ in raised([(0, point, fine), (10, point, wrong)])] == [alarm]


def test_every_text_is_there_in_both_languages() -> None:
    definitions: list[AlarmDefinition] = host_alarms("n")
    for alarm in definitions:
        assert set(alarm.title) == set(alarm.consequence) == set(alarm.action) == {"es", "en"}
