"""The node's own alarm panel: every alarm event goes straight to the outputs it drives, whatever disk, network and gateway do."""

import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any

from contract.alarms import AlarmDefinition, AlarmEvent, Transition
from contract.values import Reading
from edge.health import ModuleStatus
from edge.output_driver import OutputDriver
from edge.outputs import ConfiguredOutput
from edge.outputs.silence import Press, SilenceSettings, held
from edge.silence_button import PinButton
from rules.engine import StandingAlarm

log = logging.getLogger("muki.edge.panel")


class AlarmPanel:
    """Remembers what stands, as the outputs need it. What stood before a restart drives them again from the first moment."""

    def __init__(
        self,
        outputs: Sequence[ConfiguredOutput],
        node: str,
        definitions: Sequence[AlarmDefinition],
        standing: Iterable[StandingAlarm],
        silence: SilenceSettings | None = None,
    ) -> None:
        self._node = node
        self.drivers = [OutputDriver(entry, node, definitions) for entry in outputs]
        self._silence = silence
        self._button = PinButton(silence, node, self.silence) if silence is not None and silence.gpio is not None else None
        self._press = Press()
        self.silence_point = silence.point if silence is not None else None
        self._shadow = frozenset(definition.id for definition in definitions if definition.shadow)
        for alarm in standing:
            if alarm.definition in self._shadow:
                continue
            for driver in self.drivers:
                driver.raised(alarm.definition)

    def take(self, events: Iterable[AlarmEvent]) -> None:
        """Changes what the outputs show. Does nothing that waits."""
        for event in events:
            if event.definition in self._shadow:
                continue
            for driver in self.drivers:
                if event.transition is Transition.ACTIVE:
                    driver.raised(event.definition)
                else:
                    driver.cleared(event.definition)

    def read(self, reading: Reading) -> None:
        """A reading of ``silence_point``."""
        if self._silence is not None and self._press.update(held(reading, self._silence.pressed)):
            self.silence()

    def silence(self) -> None:
        """The button was pressed: horns are quiet until a new alarm comes, beacons and relays go on."""
        quiet = [driver.settings.name for driver in self.drivers if driver.silence()]
        log.info("node=%s silence button: %s", self._node, f"{', '.join(quiet)} silenced" if quiet else "nothing to silence")

    def report_to(self, deliver: Callable[[Sequence[Reading]], None]) -> None:
        """Where the readings of the outputs' own status go."""
        for driver in self.drivers:
            driver.deliver = deliver
        if self._button is not None:
            self._button.deliver = deliver

    def statuses(self) -> list[ModuleStatus]:
        return [driver.status for driver in self.drivers] + ([self._button.status] if self._button is not None else [])

    def tasks(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """What runs until it is cancelled, by name."""
        for driver in self.drivers:
            yield f"output-{driver.settings.name}", driver.run()
        if self._button is not None:
            yield "silence-button", self._button.run()
