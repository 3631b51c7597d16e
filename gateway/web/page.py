"""The pages `/` and `/review`: documents, rendered once; the scripts keep them alive."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from gateway.api.errors import Parts
from gateway.services import Services
from gateway.web.language import LANGUAGES, choose, texts

router = APIRouter(include_in_schema=False)
COOKIE = "muki_language"
_templates = Environment(
    loader=PackageLoader("gateway.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


@router.get("/", response_class=HTMLResponse)
async def page(request: Request, services: Parts, lang: str | None = None) -> HTMLResponse:
    """The operators' page."""
    return _page("page.html", request, services, lang)


@router.get("/review", response_class=HTMLResponse)
async def review(request: Request, services: Parts, lang: str | None = None) -> HTMLResponse:
    """Pictures of alarms, judged one by one."""
    return _page("review.html", request, services, lang)


def _page(template: str, request: Request, services: Services, lang: str | None) -> HTMLResponse:
    """The page in the language that the URL, the cookie, the browser or the site asks for, in this order."""
    config = services.config
    language = choose(lang, request.cookies.get(COOKIE), request.headers.get("accept-language", ""), config.language)
    known = texts(language)
    settings = {"site": config.site, "language": language, "time_zone": config.time_zone, "texts": dict(known)}
    html = _templates.get_template(template).render(
        t=known.__getitem__, language=language, languages=LANGUAGES, site=config.site, settings=settings
    )
    response = HTMLResponse(html, headers={"Content-Language": language, "Vary": "Accept-Language, Cookie"})
    if lang in LANGUAGES:
        response.set_cookie(COOKIE, lang, max_age=365 * 86_400, samesite="strict", httponly=True)
    return response
