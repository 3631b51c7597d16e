"""What stands before every route: headers that keep the page to itself, and refusal of requests that another site sends."""

from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.loopback import is_loopback

MAX_BODY = 64 << 10
PICTURE = "/api/v1/plan/picture"  # the one body that is no JSON, and the one answer that a stranger may have drawn
MAX_PICTURE = 4 << 20
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_PICTURES = frozenset({"image/png", "image/jpeg", "image/svg+xml"})
_NOTHING_RUNS = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Protection:
    """Bound to loopback, it answers only to loopback names: a foreign name that resolves to 127.0.0.1 is another site trying to get in."""

    def __init__(self, app: ASGIApp, bound_to: str) -> None:
        self._app = app
        self._loopback = is_loopback(bound_to)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                if scope["path"] == PICTURE:
                    headers["Content-Security-Policy"] = _NOTHING_RUNS
                headers.setdefault("Cache-Control", "no-cache" if scope["path"].startswith("/static/") else "no-store")
            await send(message)

        refusal = refuse(scope["method"], Headers(scope=scope), loopback=self._loopback, path=scope["path"])
        if refusal is None:
            await self._app(scope, receive, send_protected)
            return
        status, reason, detail = refusal
        await JSONResponse({"reason": reason, "detail": detail}, status)(scope, receive, send_protected)


def refuse(method: str, headers: Headers, *, loopback: bool, path: str = "") -> tuple[int, str, str] | None:
    """Why a request is not served (status, reason, detail), None when it is.

    Browsers say in Sec-Fetch-Site where a request comes from; where they cannot (plain HTTP to another machine), Origin must be our Host.
    Programs send neither and are served.
    """
    host = headers.get("host", "")
    if loopback and not is_loopback(_without_port(host)):
        detail = f"this gateway listens on loopback only: call it 127.0.0.1 or localhost, not {host!r} (a proxy must send such a Host)"
        return HTTPStatus.MISDIRECTED_REQUEST, "wrong_host", detail
    if method in _SAFE:
        return None
    fetch_site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if fetch_site not in {None, "same-origin", "none"} or (fetch_site is None and origin is not None and origin.split("//")[-1] != host):
        return HTTPStatus.FORBIDDEN, "cross_site", "this request comes from another site: only the gateway's own page may send it"
    return _refuse_body(headers, picture=path == PICTURE)


def _refuse_body(headers: Headers, *, picture: bool) -> tuple[int, str, str] | None:
    """A form of another site can send neither JSON nor a picture without asking first, and a body has a length that is bounded."""
    kind, most = headers.get("content-type", "").partition(";")[0].strip().lower(), MAX_PICTURE if picture else MAX_BODY
    if picture:
        if kind not in _PICTURES:
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "no_picture", f"send the body as one of {', '.join(sorted(_PICTURES))}"
    elif kind != "application/json":
        return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not_json", "send the body as Content-Type: application/json"
    length = headers.get("content-length", "")
    if not length.isdecimal():
        return HTTPStatus.LENGTH_REQUIRED, "length_required", "send a Content-Length"
    if int(length) > most:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", f"{length} bytes: a body has at most {most}"
    return None


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
