"""`muki simulate`: the simulated mine, and the load of many nodes."""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from simulators.mine import Mine


@click.group()
def main() -> None:
    """A mine that speaks the field's own protocols: Modbus RTU and TCP, a vibration logger, an IP camera."""


def _ports(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    from simulators.mine import TCP_DEVICES

    ports: dict[str, int] = {}
    for value in values:
        name, _sign, number = value.partition("=")
        if name not in TCP_DEVICES or not number.isdecimal() or not 0 < int(number) < 65536:
            raise click.BadParameter(f"{value!r}: write NAME=NUMBER, NAME one of {', '.join(TCP_DEVICES)}, NUMBER 1 to 65535")
        ports[name] = int(number)
    return ports


@main.command()
@click.argument("scenario")
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path, file_okay=False), required=True, help="Gets endpoints.json and truth.jsonl."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address the devices listen on.")
@click.option(
    "--port", "ports", multiple=True, callback=_ports, metavar="NAME=NUMBER", help="A fixed port for a device; free ones otherwise."
)
@click.option(
    "--speed", default=1.0, show_default=True, type=click.FloatRange(0.01, 1000), help="How much faster the scenario's clock runs."
)
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="The same seed gives the same mine.")
def run(*, scenario: str, folder: Path, host: str, ports: dict[str, int], speed: float, seed: int) -> None:
    """Starts every device of SCENARIO (a file, or the name of a shipped one such as first-shift) and runs until SIGINT or SIGTERM."""
    from simulators.mine import Mine
    from simulators.scenario import ScenarioError, find, load

    try:
        mine = Mine(load(find(scenario)), folder, host=host, ports=ports, speed=speed, seed=seed)
        asyncio.run(_until_stopped(mine))
    except ScenarioError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"the simulated mine cannot start: {error}; choose another --port, --host or --dir") from None


async def _until_stopped(mine: "Mine") -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with mine:
        happening = asyncio.create_task(mine.run(), name="scenario")
        click.echo("simulated mine ready")
        stopping = asyncio.create_task(stop.wait(), name="until stopped")
        await asyncio.wait({happening, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (happening, stopping):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await happening


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The broker.")
@click.option("--port", default=1883, show_default=True, type=click.IntRange(1, 65535))
@click.option("--site", default="fleet", show_default=True)
@click.option("--nodes", default=10, show_default=True, type=click.IntRange(1))
@click.option("--points", default=10, show_default=True, type=click.IntRange(1), help="Points of each node.")
@click.option("--rate", default=1.0, show_default=True, type=click.FloatRange(0, min_open=True), help="Messages a second and node.")
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(0, min_open=True), help="How long readings are made.")
@click.option("--drain", default=30.0, show_default=True, type=click.FloatRange(0), help="Seconds to wait for the last acknowledgements.")
@click.option("--alarm-every", default=50, show_default=True, type=click.IntRange(0), help="Messages between two alarms; 0 for none.")
@click.option("--username", default=None)
@click.option("--password", default=None, envvar="MUKI_FLEET_PASSWORD")
@click.option("--journal", type=click.Path(path_type=Path, dir_okay=False), help="A JSON line for every reading acknowledged.")
def fleet(*, journal: Path | None, **options: Any) -> None:
    """Many nodes that speak the wire contract to a broker. Fails when a message was never acknowledged."""
    import json

    from simulators.fleet import Load, run_fleet

    totals = asyncio.run(run_fleet(Load(**options), journal))
    click.echo(json.dumps(totals._asdict()))
    if totals.lost:
        raise click.ClickException(f"{totals.lost} of {totals.sent} messages were not acknowledged within {options['drain']:g} s")


if __name__ == "__main__":
    main()
