"""The `muki` command: one group whose subcommands are imported when they are called, so that an agent never pays for a gateway."""

import importlib
import sys

import click

COMMANDS = {
    "demo": ("deploy.demo:main", "A simulated mine, its agents and a gateway on this machine."),
    "edge": ("edge.cli:main", "The agent on the device: scan, check, run."),
    "evidence": ("gateway.evidence_cli:main", "Check a bundle of evidence, without a gateway."),
    "gateway": ("gateway.cli:main", "Broker to history, alarms and the operator's page."),
    "ledger": ("gateway.cli:ledger", "What every node sent, what is stored of it, and what is missing."),
    "query": ("gateway.query_cli:main", "Points, values and files of a running gateway."),
    "models": ("models.cli:main", "The models: list, verify, evaluate."),
    "simulate": ("simulators.cli:main", "A mine that speaks the field's own protocols."),
}


class LazyGroup(click.Group):
    """Lists its commands from the table above and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Runs a subcommand; a library that an extra would have brought is named, wherever it is first imported."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as missing:
            extra = "gateway" if COMMANDS[str(ctx.invoked_subcommand)][0].startswith("gateway.") else "edge"
            raise click.ClickException(
                f"needs the Python package {missing.name!r}, which is not installed; the extra brings it: pip install 'muki[{extra}]'"
            ) from missing

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.command(cls=LazyGroup)
@click.version_option(package_name="muki")
def main() -> None:
    """Muki watches over mines. Advisory monitoring: not a safety function."""


if __name__ == "__main__":
    sys.exit(main())
