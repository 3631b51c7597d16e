"""The pages: documents, rendered once inside one frame; their scripts keep them alive.

A page NAME is an entry of PAGES, `templates/NAME.html`, `static/NAME.js` (and .css), and texts in `locales/LANGUAGE/NAME.json`.
"""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from gateway.api.errors import Parts
from gateway.services import Services
from gateway.web.language import LANGUAGES, choose, texts

router = APIRouter(include_in_schema=False)
COOKIE = "muki_language"
PAGES = {  # in the order of the navigation; the name in it is `nav.NAME`
    "alarms": "/",
    "nodes": "/nodes",
    "plan": "/plan",
    "assets": "/assets",
    "gas": "/gas",
    "shift": "/shift",
    "review": "/review",
    "wall": "/wall",
}
OTHERS = {
    "story": "/alarm/{key}",
    "asset": "/asset/{node}/{asset}",
    "gas_test": "/gas/test/{number}",
    "acknowledge": "/ack/{token}",
}  # pages that others lead to
_templates = Environment(
    loader=PackageLoader("gateway.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def _shown(name: str) -> Callable[..., Awaitable[HTMLResponse]]:
    async def page(request: Request, services: Parts, lang: str | None = None) -> HTMLResponse:
        return _page(name, request, services, lang)

    return page


for _name, _path in (PAGES | OTHERS).items():
    router.add_api_route(_path, _shown(_name), response_class=HTMLResponse, name=_name)


def _page(name: str, request: Request, services: Services, lang: str | None) -> HTMLResponse:
    """The page in the language that the URL, the cookie, the browser or the site asks for, in this order."""
    config = services.config
    language = choose(lang, request.cookies.get(COOKIE), request.headers.get("accept-language", ""), config.language)
    known = texts(language)
    settings = {"site": config.site, "language": language, "time_zone": config.time_zone, "texts": dict(known)}
    html = _templates.get_template(f"{name}.html").render(
        t=known.__getitem__,
        language=language,
        languages=LANGUAGES,
        site=config.site,
        settings=settings,
        page=name,
        pages=PAGES,
        path=request.url.path,
    )
    response = HTMLResponse(html, headers={"Content-Language": language, "Vary": "Accept-Language, Cookie"})
    if lang in LANGUAGES:
        response.set_cookie(COOKIE, lang, max_age=365 * 86_400, samesite="strict", httponly=True)
    return response
