"""An OpenID Connect provider in a process of its own: its people say who they are in a form, without a password."""

import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.rig.processes import Child, free_port, wait_for


class Provider:
    def __init__(self, folder: Path, *people: dict[str, Any]) -> None:
        """``people``: claims; of each, `sub` is what the form asks for."""
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        told = [text for person in people for text in ("--user-claims", json.dumps(person))]
        command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(self.port), "--require-nonce", "true", *told]
        self.process = Child(command, folder / "provider.log")

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.issuer}/.well-known/openid-configuration", timeout=2):  # noqa: S310 - loopback
                return True
        except OSError:
            return False


@contextmanager
def provider(folder: Path, *people: dict[str, Any]) -> Iterator[Provider]:
    made = Provider(folder, *people)
    with made.process:
        wait_for(made.answers, seconds=30, describe="the provider", log=made.process)
        yield made
