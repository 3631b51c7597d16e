"""Every kind of output on what it speaks: gpiozero's own imitation of a Pi, Modbus slaves on TCP and on a pseudo-terminal, a serial line."""

import asyncio
import contextlib
import importlib
import os
import time
import tty
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.alarms import AlarmDefinition, AlarmEvent, Condition, ConditionKind, Priority, Transition
from contract.values import Reading
from edge.alarm_panel import AlarmPanel
from edge.errors import Misconfigured, Retry
from edge.output_driver import OutputDriver
from edge.output_trial import trials
from edge.outputs import REGISTRY, ConfiguredOutput, Output, OutputContext, known
from edge.outputs.gpio import GpioOutput, GpioSettings
from edge.outputs.modbus_coil import ModbusCoil, ModbusCoilSettings
from edge.outputs.serial_beacon import SerialBeacon, SerialBeaconSettings
from edge.outputs.silence import SilenceSettings
from rules.engine import StandingAlarm
from simulators.field.modbus_pdu import Bank, FaultKind, Unit
from simulators.field.modbus_slave import RtuBus, TcpSlave
from tests.rig.processes import free_port
from tests.rig.standin import until

GPIOZERO: Any = importlib.import_module("gpiozero")  # untyped
HIGH = AlarmDefinition("high", "a/b", Condition(ConditionKind.ABOVE, 1), Priority.HIGH)
CRITICAL = AlarmDefinition("critical", "a/b", Condition(ConditionKind.ABOVE, 2), Priority.CRITICAL)
HORN: dict[str, Any] = {"name": "horn", "role": "horn"}


class Coils(Bank):
    """Coils that remember every state they were told, repetitions left out."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.told: dict[int, list[int]] = {coil: [] for coil in range(count)}
        super().put(0, *([0] * count))

    def put(self, address: int, *values: int) -> None:
        super().put(address, *values)
        for coil, value in enumerate(values, address):
            if self.told[coil][-1:] != [value]:
                self.told[coil].append(value)


def module(count: int = 4) -> tuple[Unit, Coils]:
    unit = Unit()
    coils = Coils(count)
    unit.coils = coils
    return unit, coils


def coil(slave: TcpSlave, number: int = 0, *, shared: dict[str, Any] | None = None, **more: Any) -> ConfiguredOutput:
    written = {**HORN, "name": f"horn-{number}", "type": "modbus-coil", "tcp": slave.address, "coil": number, **more}
    settings = ModbusCoilSettings.model_validate(written)
    return ConfiguredOutput(settings, ModbusCoil(settings, OutputContext("n", Path(), {} if shared is None else shared)))


def gpio(pin: int, **more: Any) -> ConfiguredOutput:
    settings = GpioSettings.model_validate({**HORN, "type": "gpio", "pin": pin, **more})
    return ConfiguredOutput(settings, GpioOutput(settings, OutputContext("n", Path(), {})))


def event(definition: str, transition: Transition = Transition.ACTIVE) -> AlarmEvent:
    return AlarmEvent("e", definition, "n", "a/b", 0, transition)


@contextlib.asynccontextmanager
async def running(panel: AlarmPanel, said: list[Reading] | None = None) -> AsyncIterator[None]:
    panel.report_to(said.extend if said is not None else lambda _: None)
    tasks = [asyncio.create_task(work, name=name) for name, work in panel.tasks()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def status(said: list[Reading], name: str) -> list[float | None]:
    return [reading.value for reading in said if reading.point == f"n/output/{name}"]


@pytest.fixture
def pins() -> Iterator[Any]:
    """gpiozero's own mock pins, chosen the way its documentation says."""
    factory = importlib.import_module("gpiozero.pins.mock").MockFactory()
    GPIOZERO.Device.pin_factory = factory
    yield factory
    factory.reset()
    GPIOZERO.Device.pin_factory = None


def test_every_kind_of_output_keeps_the_protocol() -> None:
    more: dict[str, dict[str, Any]] = {
        "gpio": {"pin": 1},
        "log": {},
        "modbus-coil": {"tcp": "a:1", "coil": 0},
        "serial-beacon": {"port": "line", "on": "1", "off": "0"},
    }
    assert known() == REGISTRY
    assert more.keys() == REGISTRY.keys(), "a new kind belongs into the table above"
    for name, path in REGISTRY.items():
        module_name, _, class_name = path.partition(":")
        kind = getattr(importlib.import_module(module_name), class_name)
        settings = kind.Settings.model_validate({**HORN, "type": name, **more[name]})
        assert isinstance(kind(settings, OutputContext("n", Path(), {})), Output)


async def test_a_pin_follows_and_is_let_go(pins: Any) -> None:
    pin = pins.pin(17)
    panel = AlarmPanel([gpio(17)], "n", [HIGH, CRITICAL], [])
    async with running(panel):
        await until(lambda: pin.function == "output")
        assert not pin.state
        panel.take([event("critical")])
        await until(lambda: pin.state)
        panel.take([event("critical", Transition.NORMAL)])
        await until(lambda: not pin.state)
        panel.take([event("critical")])
        await until(lambda: pin.state)
    assert pin.function == "input", "an input lets the relay drop"


async def test_an_alarm_in_shadow_sounds_nothing_also_after_a_restart(pins: Any) -> None:
    pin = pins.pin(17)
    shadow = msgspec.structs.replace(CRITICAL, id="tried", shadow=True)
    panel = AlarmPanel([gpio(17)], "n", [HIGH, shadow], [StandingAlarm("tried", "a/b", "e0", 0)])
    async with running(panel):
        await until(lambda: pin.function == "output")
        assert not pin.state
        panel.take([event("tried")])
        await asyncio.sleep(0.2)
        assert not pin.state
        panel.take([event("high")])
        await until(lambda: pin.state)
        panel.take([event("tried", Transition.NORMAL)])
        await asyncio.sleep(0.2)
        assert pin.state


async def test_an_active_low_pin_and_fail_safe_wiring(pins: Any) -> None:
    low, safe = pins.pin(5), pins.pin(6)
    outputs = [gpio(5, name="low", active_low=True), gpio(6, name="safe", de_energise_to_alarm=True)]
    panel = AlarmPanel(outputs, "n", [CRITICAL], [])
    async with running(panel):
        await until(lambda: low.state and safe.state)
        panel.take([event("critical")])
        await until(lambda: not low.state and not safe.state)


async def test_a_button_on_a_pin_silences_the_horn_and_not_the_beacon(pins: Any) -> None:
    horn, beacon, button = pins.pin(17), pins.pin(18), pins.pin(27)
    outputs = [gpio(17, patterns={"high": "continuous"}), gpio(18, name="beacon", role="beacon", patterns={"high": "continuous"})]
    said: list[Reading] = []
    panel = AlarmPanel(outputs, "n", [HIGH, CRITICAL], [], SilenceSettings(gpio=27))
    async with running(panel, said):
        panel.take([event("high")])
        await until(lambda: horn.state and beacon.state and status(said, "silence-button") == [1.0])
        for _ in range(20):  # a look each 50 ms: on a busy machine a press may be too short
            button.drive_low()
            await asyncio.sleep(0.2)
            if not horn.state:
                break
            button.drive_high()
            await asyncio.sleep(0.2)
        assert not horn.state
        assert beacon.state
        panel.take([event("critical")])
        await until(lambda: horn.state)
        assert panel.drivers[0].demand.priority is Priority.CRITICAL


async def test_a_pin_that_is_taken_is_a_retry_and_two_owners_are_refused(pins: Any) -> None:
    holder = GPIOZERO.OutputDevice(17)
    _, output = gpio(17)
    with pytest.raises(Retry, match=r"GPIO17: .*does another program hold the pin"):
        await output.open()
    await output.close()
    holder.close()
    context = OutputContext("n", Path(), {})
    GpioOutput(GpioSettings.model_validate({**HORN, "type": "gpio", "pin": 4}), context)
    with pytest.raises(Misconfigured, match="GPIO4 belongs to output horn already"):
        GpioOutput(GpioSettings.model_validate({**HORN, "name": "other", "type": "gpio", "pin": 4}), context)


async def test_a_coil_beats_falls_quiet_and_is_off_after_the_end() -> None:
    unit, coils = module()
    async with TcpSlave({1: unit}) as slave:
        panel = AlarmPanel([coil(slave, patterns={"high": {"on": 0.1, "off": 0.1}})], "n", [HIGH, CRITICAL], [])
        async with running(panel):
            panel.take([event("high")])
            await until(lambda: len(coils.told[0]) > 5)
            panel.take([event("high", Transition.NORMAL)])
            await until(lambda: coils.told[0][-1] == 0)
            count = len(coils.told[0])
            await asyncio.sleep(0.3)
            assert len(coils.told[0]) == count
            panel.take([event("critical")])
            await until(lambda: coils.told[0][-1] == 1)
        assert coils.told[0][-1] == 0, "de-energised at the end"


async def test_a_scheduled_self_test_drives_it_once_and_not_over_an_alarm() -> None:
    unit, coils = module()
    at = time.mktime((2026, 11, 23, 7, 30, 0, 0, 0, -1))
    now = at - 10
    async with TcpSlave({1: unit}) as slave:
        test = {"at": "07:30", "days": ["monday"], "seconds": 0.2}
        driver = OutputDriver(coil(slave, refresh=0.5, self_test=test), "n", [HIGH], wall=lambda: now)
        task = asyncio.create_task(driver.run())
        await until(lambda: coils.told[0] == [0])
        now = at + 1
        await until(lambda: coils.told[0] == [0, 1, 0])
        await asyncio.sleep(0.6)  # past another look at the calendar
        assert coils.told[0] == [0, 1, 0]
        now = at - 10
        driver.raised("high")
        await until(lambda: coils.told[0][-1] == 1)
        driver.demand.silenced = True
        await until(lambda: coils.told[0][-1] == 0)
        now = at + 1
        count = len(coils.told[0])
        await asyncio.sleep(0.6)
        assert len(coils.told[0]) == count, "an alarm stands: no test, although it is silenced"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_stood_before_the_start_sounds_at_once() -> None:
    unit, coils = module()
    async with TcpSlave({1: unit}) as slave:
        panel = AlarmPanel([coil(slave)], "n", [CRITICAL], [StandingAlarm("critical", "a/b", "e", 0)])
        async with running(panel):
            await until(lambda: coils.told[0] == [0, 1] or coils.told[0] == [1], describe="the coil")


async def test_a_dead_module_is_a_malfunction_and_the_other_one_goes_on() -> None:
    (dead, dead_coils), (alive, alive_coils) = module(), module()
    said: list[Reading] = []
    async with TcpSlave({1: dead}) as first, TcpSlave({1: alive}) as second:
        dead.inject(FaultKind.DEAD)
        outputs = [coil(first, name="dead", timeout=0.1), coil(second, name="alive")]
        panel = AlarmPanel(outputs, "n", [CRITICAL], [])
        async with running(panel, said):
            await until(lambda: status(said, "dead") == [0.0] and status(said, "alive") == [1.0])
            panel.take([event("critical")])
            await until(lambda: alive_coils.told[0][-1:] == [1])
            dead.heal()
            await until(lambda: dead_coils.told[0][-1:] == [1] and status(said, "dead") == [0.0, 1.0])


async def test_a_module_that_drops_the_connection_gets_its_state_back_without_a_malfunction() -> None:
    unit, coils = module()
    said: list[Reading] = []
    async with TcpSlave({1: unit}) as slave:
        panel = AlarmPanel([coil(slave, refresh=0.5)], "n", [CRITICAL], [])
        async with running(panel, said):
            panel.take([event("critical")])
            await until(lambda: coils.told[0][-1:] == [1])
            await slave.drop_connections()
            coils.put(0, 0)  # it lost power
            await until(lambda: coils.told[0][-1] == 1)
    assert status(said, "horn-0") == [1.0]


async def test_outputs_of_one_module_share_a_connection_and_a_coil_has_one_owner() -> None:
    unit, coils = module()
    shared: dict[str, Any] = {}
    async with TcpSlave({1: unit}) as slave:
        outputs = [coil(slave, number, shared=shared) for number in (0, 1, 2)]
        panel = AlarmPanel(outputs, "n", [CRITICAL], [])
        async with running(panel):
            panel.take([event("critical")])
            await until(lambda: all(coils.told[number][-1:] == [1] for number in (0, 1, 2)))
            assert slave.connections == 1
        await until(lambda: slave.connections == 0)
        with pytest.raises(Misconfigured, match="coil 2 of unit 1 belongs to output horn-2 already"):
            coil(slave, 2, shared=shared, name="other")
        with pytest.raises(Misconfigured, match="write the same line and timeout"):
            coil(slave, 3, shared=shared, timeout=1.0)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (FaultKind.EXCEPTION, "refused coil 0 with exception 4"),
        (FaultKind.GARBAGE, "did not answer within 0.2 s"),
        (FaultKind.DEAD, "did not answer within 0.2 s"),
    ],
)
async def test_what_a_module_answers_wrongly_is_a_retry(fault: FaultKind, why: str) -> None:
    unit, _ = module()
    async with TcpSlave({1: unit}) as slave:
        _, output = coil(slave, timeout=0.2)
        await output.open()
        unit.inject(fault)
        with pytest.raises(Retry, match=why):
            await output.write(True)
        await output.close()


async def test_a_coil_that_does_not_exist_and_a_module_that_is_not_there() -> None:
    unit, _ = module()
    async with TcpSlave({1: unit}) as slave:
        _, output = coil(slave, 9)
        await output.open()
        with pytest.raises(Retry, match="refused coil 9 with exception 2"):
            await output.write(True)
        await output.close()
    _, output = coil(slave)
    with pytest.raises(Retry, match="cannot be opened; is it on"):
        await output.open()
    await output.close()


async def test_relays_on_a_serial_line(tmp_path: Path) -> None:
    unit, coils = module()
    shared: dict[str, Any] = {}
    written = {**HORN, "type": "modbus-coil", "rtu": {"port": "line"}, "unit": 7}
    async with RtuBus({7: unit}, link=tmp_path / "line"):
        outputs = []
        for number in (0, 1):
            settings = ModbusCoilSettings.model_validate({**written, "name": f"horn-{number}", "coil": number})
            outputs.append(ConfiguredOutput(settings, ModbusCoil(settings, OutputContext("n", tmp_path, shared))))
        panel = AlarmPanel(outputs, "n", [CRITICAL], [])
        async with running(panel):
            panel.take([event("critical")])
            await until(lambda: coils.told[0][-1:] == coils.told[1][-1:] == [1])
        assert coils.told[0][-1:] == coils.told[1][-1:] == [0]


class Line:
    """The far end of a serial line: what the beacon was told."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.heard = b""
        self.plug()

    def plug(self) -> None:
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(os.ttyname(self.slave))

    def unplug(self) -> None:
        os.close(self.slave)
        os.close(self.master)
        self.link.unlink()

    def listen(self) -> bytes:
        with contextlib.suppress(BlockingIOError, OSError):
            self.heard += os.read(self.master, 4096)
        return self.heard


def beacon(folder: Path, **more: Any) -> ConfiguredOutput:
    written = {"name": "beacon", "role": "beacon", "type": "serial-beacon", "port": "line", "on": "ON\r\n", "off": "OFF\r\n", **more}
    settings = SerialBeaconSettings.model_validate(written)
    return ConfiguredOutput(settings, SerialBeacon(settings, OutputContext("n", folder, {})))


async def test_a_serial_beacon_is_told_comes_back_and_is_told_again(tmp_path: Path) -> None:
    line = Line(tmp_path / "line")
    said: list[Reading] = []
    panel = AlarmPanel([beacon(tmp_path, refresh=0.5)], "n", [CRITICAL], [])
    async with running(panel, said):
        await until(lambda: line.listen() == b"OFF\r\n")
        panel.take([event("critical")])
        await until(lambda: line.listen().startswith(b"OFF\r\nON\r\n"))
        line.unplug()
        await until(lambda: status(said, "beacon") == [1.0, 0.0])
        line.heard = b""
        line.plug()
        await until(lambda: line.listen().startswith(b"ON\r\n"))
        await until(lambda: status(said, "beacon") == [1.0, 0.0, 1.0])
    assert line.listen().endswith(b"OFF\r\n")
    line.unplug()


async def test_bytes_in_hexadecimal(tmp_path: Path) -> None:
    line = Line(tmp_path / "line")
    _, output = beacon(tmp_path, encoding="hex", on="A0 01 01 A2", off="A00100A1")
    await output.open()
    await output.write(True)
    await output.write(False)
    await until(lambda: line.listen() == bytes.fromhex("A00101A2 A00100A1"))
    await output.close()
    line.unplug()


async def test_a_serial_line_that_takes_nothing_is_a_retry_and_not_a_wait(tmp_path: Path) -> None:
    line = Line(tmp_path / "line")
    _, output = beacon(tmp_path, on="X" * 200)
    await output.open()
    os.set_blocking(line.slave, False)
    refused = 0
    while refused < 5:  # until the line is full, because nobody reads; the kernel moves on what it took only a moment later
        try:
            os.write(line.slave, b"X" * 4096)
            refused = 0
        except BlockingIOError:
            refused += 1
            await asyncio.sleep(0.05)
    with pytest.raises(Retry, match=r"takes no command|took \d+ of 200 bytes"):
        await output.write(True)
    line.listen()
    await output.close()
    line.unplug()
    with pytest.raises(Retry, match="there is no such serial port"):
        await output.open()


async def test_a_trial_drives_each_and_a_failure_keeps_nobody_from_the_next() -> None:
    unit, coils = module()
    shared: dict[str, Any] = {}
    async with TcpSlave({1: unit}) as slave:
        outputs = [
            coil(slave, 0, shared=shared),
            coil(slave, 0, name="gone", tcp=f"127.0.0.1:{free_port()}"),
            coil(slave, 1, shared=shared, de_energise_to_alarm=True),
        ]
        found = [trial async for trial in trials(outputs, 0.1)]
    assert [(trial.name, trial.passed) for trial in found] == [("horn-0", True), ("gone", False), ("horn-1", True)]
    assert "energised for 0.1 s" in found[0].text
    assert "cannot be opened" in found[1].text
    assert "left so" in found[2].text
    assert coils.told[0][-2:] == [1, 0]
    assert coils.told[1][-4:] == [1, 0, 1, 0]
