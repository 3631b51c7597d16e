"""Bytes from the network, guided by the code that they reach: nothing but the errors that are foreseen, and nothing read that was not sent.

    python -m tests.campaigns.fuzz [--minutes 60] [--only TARGET] [--corpus FOLDER]

Atheris (LLVM's libFuzzer for Python) keeps each input that reached something new in FOLDER/TARGET and goes on from there the next time. What
failed lies in FOLDER as TARGET-crash-HASH, and is called again with --again FILE. The targets (`fuzz_targets.py`) share the time. Ends with 1
where one failed.
"""

import importlib
import subprocess
import sys
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
TARGETS = ("mqtt", "messages", "structured", "topics")
SLOWEST = 10  # s that one input may take


def fuzz(target: str, options: list[str]) -> None:
    """In this process, which ends with it: libFuzzer does not return."""
    import atheris

    with atheris.instrument_imports(include=["contract", "gateway"]):
        targets = importlib.import_module("tests.campaigns.fuzz_targets")
    atheris.Setup([sys.argv[0], *options], targets.TARGETS[target])
    atheris.Fuzz()


def run(target: str, options: list[str]) -> int:
    words = ["--run", target, "--", *options]
    return subprocess.run([sys.executable, "-m", "tests.campaigns.fuzz", *words], cwd=ROOT, check=False).returncode


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--minutes", default=60.0)
@click.option("--only", type=click.Choice(TARGETS), default=None)
@click.option("--corpus", type=click.Path(path_type=Path, file_okay=False), default=Path("fuzz-corpus"))
@click.option(
    "--again", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="An input that failed; its name begins with the target."
)
@click.option("--run", "running", type=click.Choice(TARGETS), hidden=True)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def main(*, minutes: float, only: str | None, corpus: Path, again: Path | None, running: str | None, options: tuple[str, ...]) -> None:
    """Feeds what nobody would send."""
    if running is not None:
        fuzz(running, list(options))
        return
    if again is not None:
        sys.exit(run(again.name.split("-")[0], [str(again)]))
    failed = []
    chosen = (only,) if only else TARGETS
    for target in chosen:
        folder = (corpus / target).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        limits = [f"-max_total_time={max(1, round(60 * minutes / len(chosen)))}", f"-timeout={SLOWEST}"]
        if run(target, [*limits, f"-artifact_prefix={corpus.resolve()}/{target}-", "-verbosity=0", "-print_final_stats=1", str(folder)]):
            failed.append(target)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; the inputs are in {corpus}: call each again with --again FILE")
    click.echo(f"{', '.join(chosen)}: nothing failed")


if __name__ == "__main__":
    main()
