"""The web application: routes, error handlers, and the sweeper that lives as long as the process."""

import asyncio
import json
import logging
import math
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import fastapi_offline
from fastapi import Depends, FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import Receive, Scope, Send

from app import health, preference_pages, schema, security
from app.accounts import account_pages, audit_api, audit_pages, join_pages, member_pages, openid_pages
from app.accounts import api as account_api
from app.accounts import pages as sign_in_pages
from app.audit_log import AuditLog
from app.config_errors import in_one_sentence
from app.contests import api as contest_api
from app.contests import data_api, data_pages
from app.contests import pages as contest_pages
from app.db import HELD_BY_REQUESTS, Database
from app.error_page import ErrorPage
from app.errors import AppError, Away, FieldError, NotSignedIn, TooMany
from app.experiments import api as experiment_api
from app.experiments import edit_pages, status_pages, stream_api
from app.experiments import form_pages as experiment_form_pages
from app.experiments import pages as experiment_pages
from app.language import LanguageOfRequest
from app.language import gettext as _
from app.leaderboard import api as leaderboard_api
from app.leaderboard import compare_api, compare_pages, saved_api, saved_pages, trash_api, trash_pages
from app.leaderboard import pages as leaderboard_pages
from app.pydantic_words import said
from app.queue import Doorbell
from app.rates import Rates
from app.request_log import RequestLog
from app.runs import api as run_api
from app.runs import curve_api, curve_pages, job_api, log_api, log_pages, queue_api, upload_api, worker_api
from app.runs import pages as run_pages
from app.runs.sweeper import Sweeper
from app.search import api as search_api
from app.search import pages as search_pages
from app.settings import Settings, load
from app.significance import api as significance_api
from app.storage import Storage
from app.watching import Watches
from app.web import STATIC, bokeh_files, page

log = logging.getLogger(__name__)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the app. Raises AppError when the settings, the schema or the accounts do not allow it to start."""
    settings = settings or load()
    security.require_whole_openid(settings)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database)
    schema.require_head(database.write_engine)
    security.require_safe_start(settings, database)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.storage.forget_torn()
        sweeper = Sweeper(settings, database, app.state.doorbell, app.state.storage)
        sweeper.start()
        yield
        sweeper.stop()
        database.dispose()

    app = FastAPI(
        title="pairboard",
        description="The bench for sentence-pair matching contests.",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.database = database
    app.state.turns = asyncio.Semaphore(HELD_BY_REQUESTS)
    app.state.doorbell = Doorbell(settings)
    app.state.watches = Watches()
    app.state.rates = Rates(settings.token_requests_per_minute, settings.web_processes)
    app.state.storage = Storage((settings.data_dir / "storage").resolve(), settings.max_upload_mb << 20)
    secret = settings.secret.get_secret_value() or secrets.token_hex(32)
    app.add_middleware(AuditLog)
    app.add_middleware(SessionMiddleware, secret_key=secret, session_cookie="pairboard", same_site="lax", max_age=None)
    app.add_middleware(security.Gate, settings=settings)
    app.add_middleware(Compressed, minimum_size=1000, compresslevel=5)
    app.add_middleware(LanguageOfRequest)
    app.add_middleware(RequestLog)
    _routes(app)
    security.require_declared(app)
    _error_handlers(app)
    return app


class Compressed(GZipMiddleware):
    """Pages, JSON and scripts travel compressed; files of runs, which are weights, as they are."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        large = scope["type"] == "http" and re.search(r"/(artifacts|inputs)/", scope["path"])
        await (self.app if large else super().__call__)(scope, receive, send)


class LastingFiles(StaticFiles):
    """Files of ours and of Bokeh's: browsers keep those whose address holds a version, and ask about the others."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """As StaticFiles, with the header that says so."""
        response = await super().get_response(path, scope)
        lasts = b"v=" in scope.get("query_string", b"")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if lasts else "no-cache"
        return response


def _routes(app: FastAPI) -> None:
    programs = (
        health,
        account_api,
        audit_api,
        contest_api,
        data_api,
        experiment_api,
        stream_api,
        leaderboard_api,
        compare_api,
        significance_api,
        saved_api,
        trash_api,
        search_api,
        run_api,
        curve_api,
        log_api,
        job_api,
        upload_api,
        queue_api,
        worker_api,
    )
    for module in programs:
        app.include_router(module.router)
    first = (
        preference_pages,
        sign_in_pages,
        openid_pages,
        join_pages,
        account_pages,
        member_pages,
        audit_pages,
        contest_pages,
        data_pages,
        experiment_form_pages,
        experiment_pages,
        status_pages,
        edit_pages,
    )
    board = (leaderboard_pages, compare_pages, saved_pages, trash_pages, search_pages)
    for pages in (*first, run_pages, curve_pages, log_pages, *board):
        app.include_router(pages.router, include_in_schema=False)
    app.mount("/static", LastingFiles(directory=STATIC), name="static")
    app.mount("/bokeh", LastingFiles(directory=bokeh_files()), name="bokeh")
    app.mount("/swagger", StaticFiles(packages=[(fastapi_offline.__name__, "static")]), name="swagger")

    @app.get("/docs", include_in_schema=False, dependencies=[Depends(security.anyone)])
    def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="pairboard API",
            swagger_js_url="/swagger/swagger-ui-bundle.js",
            swagger_css_url="/swagger/swagger-ui.css",
            swagger_favicon_url="/static/icon.svg",
        )


def _error_handlers(app: FastAPI) -> None:
    """One place where an exception becomes a page or JSON."""

    @app.exception_handler(AppError)
    def app_error(request: Request, error: AppError) -> Response:
        answer = _answer(request, error.status, error.message, error.fields, error.detail)
        if isinstance(error, TooMany):
            answer.headers["Retry-After"] = str(math.ceil(error.seconds))
        return answer

    @app.exception_handler(RequestValidationError)
    def validation_error(request: Request, error: RequestValidationError) -> Response:
        problems = [
            FieldError(".".join(str(part) for part in item["loc"]), said(item), repr(item.get("input"))[:200])
            for item in error.errors()
        ]
        return _answer(request, 422, in_one_sentence(problems[:5]), problems)

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> Response:
        nothing = _("there is nothing at %(address)s", address=request.url.path)
        message = nothing if error.status_code == 404 else _(str(error.detail))
        return _answer(request, error.status_code, message)

    @app.exception_handler(OperationalError)
    def database_away(request: Request, error: OperationalError) -> Response:
        log.error("%s %s: the database failed: %s", request.method, request.url.path, error.orig)
        message = _("the database does not answer, or its disk is full; nothing was changed: try again in a while")
        return _answer(request, Away.status, message)

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        message = _("pairboard failed here; the server's log has the traceback. Nothing was changed.")
        return _answer(request, 500, message)


def _answer(
    request: Request,
    status: int,
    message: str,
    problems: tuple[FieldError, ...] | list[FieldError] = (),
    detail: object = None,
) -> Response:
    path = request.url.path
    if path.startswith(("/api/", "/health", "/metrics")) or path == "/openapi.json":
        body: dict[str, Any] = {"message": message, "fields": [asdict(problem) for problem in problems]}
        if detail is not None:
            body["detail"] = jsonable_encoder(detail)
        # ASCII: a lone surrogate in what was sent can't be written as UTF-8
        text = json.dumps({"error": body}, ensure_ascii=True)
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
        return Response(text, status, headers, media_type="application/json")
    if status == NotSignedIn.status and request.method == "GET":
        return RedirectResponse("/sign-in", 303)
    return page(request, "error.html", ErrorPage(status, _printable(message), problems=tuple(problems)), status)


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
