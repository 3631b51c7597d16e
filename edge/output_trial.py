"""`muki edge test-outputs`: each output driven for a moment, one after the other, and what came of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from edge.errors import EdgeError
from edge.output_driver import LIMIT
from edge.outputs import ConfiguredOutput
from edge.worker import explain

BEFORE = 0.5  # s in the quiet state, so that the change is seen


class Trial(NamedTuple):
    """What was done with one output, or why it could not be."""

    name: str
    passed: bool
    text: str


async def trials(outputs: Sequence[ConfiguredOutput], seconds: float) -> AsyncIterator[Trial]:
    """Drives each output for ``seconds``; one that fails keeps nobody from the next. All are de-energised afterwards."""
    for entry in outputs:
        try:
            await _drive(entry, seconds)
        except TimeoutError:
            yield Trial(entry.settings.name, passed=False, text=f"FAILED: took no command within {LIMIT:g} s")
        except EdgeError as error:
            yield Trial(entry.settings.name, passed=False, text=f"FAILED: {error}")
        except Exception as error:  # whatever it raises, the others are worth trying
            yield Trial(entry.settings.name, passed=False, text=f"FAILED: {explain(error)}")
        else:
            yield Trial(entry.settings.name, passed=True, text=_did(entry, seconds))


async def _drive(entry: ConfiguredOutput, seconds: float) -> None:
    settings, output = entry
    quiet = settings.de_energise_to_alarm
    try:
        async with asyncio.timeout(LIMIT):
            await output.open()
        for energised, pause in ((quiet, BEFORE), (not quiet, seconds), (quiet, 0.0), (False, 0.0)):
            async with asyncio.timeout(LIMIT):
                await output.write(energised)
            await asyncio.sleep(pause)
    finally:
        await output.close()


def _did(entry: ConfiguredOutput, seconds: float) -> str:
    settings = entry.settings
    if settings.de_energise_to_alarm:
        return f"took each command: de-energised, its alarm, for {seconds:g} s; left so, because no agent watches now"
    return f"took each command: energised for {seconds:g} s; left de-energised"
