"""One session with an OPC UA server: opened with a clear word when that fails, and closed without leaving a task or a socket."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import Retry
from edge.sources.opcua_settings import OpcUaSettings

if TYPE_CHECKING:
    from asyncua.client.client import Client

_GOODBYE = 1.0  # s
_ABANDONED = 60_000  # ms after which the server forgets us: a node that lost its power must not fill the server's few sessions
_USER = ("BadUserAccessDenied", "BadIdentityTokenInvalid", "BadIdentityTokenRejected")
_CERTIFICATE = ("BadSecurityChecksFailed", "BadCertificate")


@contextlib.asynccontextmanager
async def connected(settings: OpcUaSettings, node: str, folder: Path) -> AsyncIterator["Client"]:
    """An activated session. Raises Retry when the server is absent, refuses, or speaks something else."""
    from asyncua.client.client import Client

    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # it reports each lost connection with a traceback; here that is a quality
    password = _password(folder / settings.password_file) if settings.password_file else None
    client = Client(settings.url, timeout=settings.timeout, watchdog_intervall=settings.timeout)
    client.name = client.description = f"muki {node}"
    client.session_timeout = _ABANDONED
    client.application_uri = settings.application_uri or f"urn:muki:{node}"
    if settings.username is not None:
        client.set_user(settings.username)
        client.set_password(password or "")
    try:
        try:
            if settings.security is not None:
                await _secure(client, settings, folder)
            await client.connect()
        except Retry:
            raise
        except Exception as error:  # what answers may be anything: the library raises whatever its parsing ran into
            raise Retry(f"{settings.url}: {_explain(error, settings)}") from None
        yield client
    finally:
        await _close(client)


async def _secure(client: "Client", settings: OpcUaSettings, folder: Path) -> None:
    from asyncua import ua
    from asyncua.crypto import security_policies

    wanted = settings.security
    assert wanted is not None  # noqa: S101 - the caller has looked
    files = {key: folder / path for key in ("certificate", "key", "server_certificate") if (path := getattr(wanted, key)) is not None}
    for key, path in files.items():
        if not path.is_file():
            raise Retry(f"{settings.url}: security.{key} {path}: there is no such file")
    await client.set_security(
        getattr(security_policies, f"SecurityPolicy{wanted.policy}"),
        str(files["certificate"]),
        str(files["key"]),
        server_certificate=str(files["server_certificate"]) if "server_certificate" in files else None,
        mode=ua.MessageSecurityMode[wanted.mode],
    )


async def _close(client: "Client") -> None:
    """Ends the library's own tasks first, so that none of them works on a session that is being closed, and the socket in any case."""
    low = client.uaclient
    low.request_disconnect()
    low.pre_request_hook = None
    transport = low.protocol.transport if low.protocol is not None else None
    tasks = (client._stale_watchdog_task, client._supervisor_task, client._renew_channel_task, low.session._publish_task)
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    try:
        if transport is not None and not transport.is_closing():
            with contextlib.suppress(Exception):  # the server may be gone, or no OPC UA server at all
                async with asyncio.timeout(_GOODBYE):
                    await low.close_session(True)
                    await low.close_secure_channel()
    finally:
        if transport is not None:
            transport.abort()
        low.disconnect_socket()
        await asyncio.sleep(0)


def _password(path: Path) -> str:
    """The first line of the file. Raises Retry when it cannot be read: whoever provisions the node may still be writing it."""
    try:
        return path.read_text("utf-8").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Retry(f"password_file {path}: {error}") from None


def _explain(error: Exception, settings: OpcUaSettings) -> str:
    kind, text = type(error).__name__, str(error)
    if kind.startswith(_USER):
        return f"the server refuses this user ({kind}): check username and password_file"
    if kind.startswith(_CERTIFICATE) or "certificate" in text.lower():
        return f"the certificate is not accepted ({kind}: {text}): trust this client's certificate in the server, check application_uri"
    if "No matching endpoints" in text:
        offered = "without security" if settings.security is None else f"{settings.security.policy}, {settings.security.mode}"
        return f"the server has no endpoint {offered}: set security to one that it offers"
    if isinstance(error, TimeoutError):
        return f"no answer within {settings.timeout:g} s; is it an OPC UA server, and the port right (4840 in most)?"
    if isinstance(error, ConnectionRefusedError | OSError) and text and not isinstance(error, ConnectionResetError):
        return f"{text}; is the server on, and the port right (4840 in most)?"
    return f"does not speak OPC UA as expected ({kind}: {text[:100]})"
