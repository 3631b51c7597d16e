"""The simulated mine: the plant behind its field devices, all listening, and the scenario that happens to it."""

import asyncio
import contextlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from simulators.field.camera_feed import CameraFeed
from simulators.field.camera_scene import Lens
from simulators.field.modbus_pdu import FaultKind, Unit, float32, int16, uint16
from simulators.field.modbus_slave import RtuBus, TcpSlave
from simulators.field.vibration_stream import VibrationStream
from simulators.plant.conveyor import Conveyor, ConveyorState
from simulators.plant.pump import Pump, PumpState, bearing_fault
from simulators.plant.ventilation import Air, Fan, Gas, Heading
from simulators.plant.vibration import Vibration
from simulators.scenario import LENS, LOST, Change, Scenario, changes

TCP_DEVICES = ("pump-plc", "pump-vibration", "conveyor-plc", "camera")
TICK = 0.1  # seconds between looks at the scenario


class Mine:
    """All devices. ``speed`` runs the scenario's clock faster than the wall's; the devices' own rates stay as they are.

    On entering, all devices listen and ``folder`` holds `endpoints.json`; what happens is appended to its `truth.jsonl`.
    """

    def __init__(
        self,
        scenario: Scenario,
        folder: Path,
        *,
        host: str = "127.0.0.1",
        ports: Mapping[str, int] | None = None,
        speed: float = 1.0,
        seed: int = 1,
    ) -> None:
        self.scenario = scenario
        self._folder = folder
        self._speed = speed
        self._seed = seed
        self._start = time.monotonic()
        self._start_ns = time.time_ns()
        self._heading, self._fan = Heading(seed), Fan(seed + 10)
        self._pump, self._conveyor = Pump(seed + 20), Conveyor(seed + 30)
        self._vibration = Vibration(seed + 40)
        self.gas_head, self.fan_unit, self.pump_unit, self.conveyor_unit = Unit(), Unit(), Unit(), Unit()
        self._wire()
        port = {name: (ports or {}).get(name, 0) for name in TCP_DEVICES}
        self.gas_bus = RtuBus({1: self.gas_head, 2: self.fan_unit}, link=folder / "gas-rtu.tty")
        self.pump_plc = TcpSlave({1: self.pump_unit}, host=host, port=port["pump-plc"])
        self.conveyor_plc = TcpSlave({1: self.conveyor_unit}, host=host, port=port["conveyor-plc"])
        self.pump_vibration = VibrationStream(self._accelerate, host=host, port=port["pump-vibration"])
        self.camera = CameraFeed(seed=seed, host=host, port=port["camera"])
        self._stack = contextlib.AsyncExitStack()

    @property
    def now(self) -> float:
        """Seconds of the scenario since the start."""
        return (time.monotonic() - self._start) * self._speed

    def endpoints(self) -> dict[str, str]:
        return {
            "gas-rtu": str(self.gas_bus.link.absolute()),
            "pump-plc": self.pump_plc.address,
            "pump-vibration": self.pump_vibration.address,
            "conveyor-plc": self.conveyor_plc.address,
            "camera": self.camera.url,
        }

    async def __aenter__(self) -> Self:
        """Raises OSError for a port that is taken or a folder that cannot be written."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "endpoints.json").unlink(missing_ok=True)  # of a run that was killed: nobody may take it for this one's
        async with contextlib.AsyncExitStack() as stack:
            for device in (self.gas_bus, self.pump_plc, self.conveyor_plc, self.pump_vibration, self.camera):
                await stack.enter_async_context(device)
            self._start, self._start_ns = time.monotonic(), time.time_ns()
            fresh = self._folder / "endpoints.json.new"
            fresh.write_text(json.dumps(self.endpoints(), indent=2) + "\n")
            fresh.replace(self._folder / "endpoints.json")
            self._tell(
                {
                    "time_ns": self._start_ns,
                    "what": "scenario_started",
                    "scenario": self.scenario.name,
                    "seed": self._seed,
                    "speed": self._speed,
                }
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        (self._folder / "endpoints.json").unlink(missing_ok=True)

    async def run(self) -> None:
        """Lets the scenario happen, until cancelled."""
        seen = -math.inf
        while True:
            now = self.now
            for change in changes(self.scenario, seen, now):
                self._tell(self._describe(change))
            seen = now
            self._apply(now)
            await asyncio.sleep(TICK)

    def _apply(self, now: float) -> None:
        """What is no physics: devices that stop answering, and the state of the lens."""
        for device, asset, unit in (
            ("gas-rtu", "heading-3", self.gas_head),
            ("gas-rtu", "fan-3", self.fan_unit),
            ("pump-plc", "slurry-pump-1", self.pump_unit),
            ("conveyor-plc", "conveyor-2", self.conveyor_unit),
        ):
            if LOST in self.scenario.effects(device, asset, now):
                unit.inject(FaultKind.DEAD)
            else:
                unit.heal()
        self.pump_vibration.stalled = LOST in self.scenario.effects("pump-vibration", "slurry-pump-1", now)
        seen = self.scenario.effects("camera", "gallery-cam", now)
        self.camera.lens = next((LENS[name] for name in seen), Lens.CLEAR)

    def _wire(self) -> None:
        """The register maps."""
        self.gas_head.input.compute(0, 5, self._gas_registers)
        self.fan_unit.input.compute(0, 3, self._fan_registers)
        self.fan_unit.discrete.compute(0, 1, lambda: [int(self._air().running)])
        self.pump_unit.holding.compute(0, 10, self._pump_registers)
        self.pump_unit.discrete.compute(0, 1, lambda: [int(self._pump_state().running)])
        self.conveyor_unit.holding.compute(0, 5, self._conveyor_registers)
        self.conveyor_unit.discrete.compute(0, 2, self._conveyor_inputs)

    def _at(self, device: str, asset: str) -> tuple[float, dict[str, float]]:
        now = self.now
        return now, self.scenario.effects(device, asset, now)

    def _air(self) -> Air:
        return self._fan.at(*self._at("gas-rtu", "fan-3"))

    def _gas(self) -> Gas:
        now, effects = self._at("gas-rtu", "heading-3")
        return self._heading.at(now, self._air(), effects)

    def _pump_state(self) -> PumpState:
        return self._pump.at(*self._at("pump-plc", "slurry-pump-1"))

    def _gas_registers(self) -> Sequence[int]:
        gas = self._gas()
        return [uint16(gas.co * 10), uint16(gas.no2 * 100), uint16(gas.o2 * 100), uint16(gas.co2), uint16(gas.ch4 * 1000)]

    def _fan_registers(self) -> Sequence[int]:
        air = self._air()
        return [uint16(air.airflow), uint16(air.current * 10), int(air.running)]

    def _pump_registers(self) -> Sequence[int]:
        state = self._pump_state()
        values = (state.flow, state.pressure, state.current, state.bearing_temperature, state.speed)
        return [word for value in values for word in float32(value)]

    def _conveyor_state(self) -> ConveyorState:
        return self._conveyor.at(*self._at("conveyor-plc", "conveyor-2"))

    def _conveyor_registers(self) -> Sequence[int]:
        state = self._conveyor_state()
        return [
            uint16(state.speed * 1000),
            uint16(state.tail_speed * 1000),
            uint16(state.load),
            uint16(state.current * 10),
            int16(state.drift),
        ]

    def _conveyor_inputs(self) -> Sequence[int]:
        state = self._conveyor_state()
        return [int(state.running), int(state.pull_cord)]

    def _accelerate(self, samples: int) -> NDArray[np.float32]:
        now, effects = self._at("pump-plc", "slurry-pump-1")
        part, severity = bearing_fault(effects)
        shaft_hz = self._pump.at(now, effects).speed / 60
        return self._vibration.block(samples, shaft_hz=shaft_hz, severity=severity, part=part)[:, None]

    def _describe(self, change: Change) -> dict[str, Any]:
        event = change.event
        at_ns = self._start_ns + round(change.time / self._speed * 1e9)
        line: dict[str, Any] = {
            "time_ns": at_ns,
            "seconds": change.time,
            "cycle": change.cycle,
            "device": event.device,
            "asset": event.asset,
            "what": event.what,
            "state": "begins" if change.began else "ends",
        }
        if change.began:
            line["to"] = event.to
            line["expect"] = [expectation.model_dump(exclude_none=True) for expectation in event.expect]
        return line

    def _tell(self, line: dict[str, Any]) -> None:
        with (self._folder / "truth.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
