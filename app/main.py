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
from fastapi.responses import RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import DataError, OperationalError, StatementError
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import Receive, Scope, Send

from app import answers, gate, health, preference_pages, schema, security
from app.accounts import account_pages, audit_api, audit_pages, join_pages, member_pages, openid_pages
from app.accounts import api as account_api
from app.accounts import pages as sign_in_pages
from app.audit_log import AuditLog
from app.bodies import Bodies
from app.config_errors import in_one_sentence
from app.contests import api as contest_api
from app.contests import data_api, data_pages, leak_api, leak_pages
from app.contests import pages as contest_pages
from app.db import HELD_BY_REQUESTS, Database
from app.error_page import DocsPage, ErrorPage
from app.errors import AppError, Away, FieldError, NotSignedIn, Refused, TooMany
from app.experiments import api as experiment_api
from app.experiments import edit_pages, status_pages, stream_api
from app.experiments import form_pages as experiment_form_pages
from app.experiments import pages as experiment_pages
from app.forwarded import ByHttps, Forwarded
from app.gate import CHARTS_CSP
from app.language import LanguageOfRequest
from app.language import gettext as _
from app.leaderboard import api as leaderboard_api
from app.leaderboard import compare_api, compare_pages, saved_api, saved_pages, trash_api, trash_pages
from app.leaderboard import pages as leaderboard_pages
from app.pydantic_words import said
from app.queue import Doorbell
from app.rates import Rates
from app.request_log import RequestLog
from app.root_path import RootPath
from app.runs import api as run_api
from app.runs import curve_api, curve_pages, job_api, log_api, log_pages, queue_api, upload_api, worker_api
from app.runs import pages as run_pages
from app.runs.sweeper import Sweeper
from app.sealed import answers as sealed_answers
from app.sealed import api as sealed_api
from app.sealed import pages as sealed_pages
from app.sealed.scorer import Scorer
from app.search import api as search_api
from app.search import pages as search_pages
from app.settings import Settings, divided, load
from app.significance import api as significance_api
from app.significance import blend_api, blend_pages, bringing_api, bringing_pages, valid_online_api, valid_online_pages
from app.storage import Storage
from app.submissions import api as submission_api
from app.submissions import check_api, check_pages, format_api, format_pages, scores_api
from app.submissions import pages as submission_pages
from app.watching import Watches
from app.web import STATIC, bokeh_files, page
from app.webhooks import api as webhook_api
from app.webhooks import pages as webhook_pages
from app.webhooks import service as webhooks
from app.webhooks.postman import Postman

log = logging.getLogger(__name__)
#: what FastAPI says when reading a body failed with anything but a JSON error
_UNREADABLE = "There was an error parsing the body"


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the app. Raises AppError when the settings, the schema or the accounts do not allow it to start."""
    settings = settings or load()
    security.require_whole_openid(settings)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database)
    schema.require_head(database.write_engine)
    security.require_safe_start(settings, database)
    if secret := settings.secret.get_secret_value():
        with database.writing() as session:
            webhooks.encrypt_all(session, secret)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.storage.forget_torn()
        sweeper = Sweeper(settings, database, app.state.doorbell, app.state.storage)
        scorer = Scorer(database, app.state.storage, sealed_answers.folder_of(settings), every_s=settings.sweep_seconds)
        sweeper.start()
        postman = Postman(settings, database)
        scorer.start()
        postman.start()
        yield
        postman.stop()
        scorer.stop()
        sweeper.stop()
        database.dispose()

    app = FastAPI(
        title="pairboard",
        description="The bench for sentence-pair matching contests.",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        servers=[{"url": settings.root_path}] if settings.root_path else None,
    )
    app.state.settings = settings
    app.state.database = database
    app.state.turns = asyncio.Semaphore(HELD_BY_REQUESTS)
    app.state.doorbell = Doorbell(settings)
    app.state.watches = Watches()
    app.state.looked = {}
    app.state.rates = Rates(settings.token_requests_per_minute, settings.web_processes)
    app.state.storage = Storage((settings.data_dir / "storage").resolve(), settings.max_upload_mb << 20)
    secret = settings.secret.get_secret_value() or secrets.token_hex(32)
    app.add_middleware(Bodies, settings=settings, known=security.is_known)
    app.add_middleware(AuditLog)
    app.add_middleware(SessionMiddleware, secret_key=secret, session_cookie="pairboard", same_site="lax", max_age=None)
    app.add_middleware(gate.Gate, settings=settings)
    app.add_middleware(Compressed, minimum_size=1000, compresslevel=5)
    app.add_middleware(LanguageOfRequest)
    app.add_middleware(RequestLog)
    if settings.root_path:
        app.add_middleware(RootPath, root=settings.root_path)
    if settings.trusted_proxies:
        app.add_middleware(Forwarded, proxies=divided(settings.trusted_proxies))
    if settings.https:
        app.add_middleware(ByHttps)
    _routes(app)
    security.require_declared(app)
    answers.describe(app)
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
        leak_api,
        experiment_api,
        stream_api,
        scores_api,
        submission_api,
        check_api,
        bringing_api,
        leaderboard_api,
        compare_api,
        significance_api,
        blend_api,
        valid_online_api,
        saved_api,
        trash_api,
        search_api,
        run_api,
        curve_api,
        log_api,
        job_api,
        upload_api,
        format_api,
        sealed_api,
        queue_api,
        worker_api,
        webhook_api,
    )
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
        leak_pages,
        experiment_form_pages,
        experiment_pages,
        status_pages,
        edit_pages,
        submission_pages,
        check_pages,
        bringing_pages,
    )
    board = (leaderboard_pages, compare_pages, blend_pages, valid_online_pages, saved_pages, trash_pages)
    for module in (
        *programs,
        *first,
        run_pages,
        curve_pages,
        log_pages,
        format_pages,
        sealed_pages,
        *board,
        search_pages,
        webhook_pages,
    ):
        # as they are: include_router would make each of them anew, and have a request ask router after router
        app.router.routes.extend(module.router.routes)
    app.mount("/static", LastingFiles(directory=STATIC), name="static")
    app.mount("/bokeh", LastingFiles(directory=bokeh_files()), name="bokeh")
    app.mount("/swagger", StaticFiles(packages=[(fastapi_offline.__name__, "static")]), name="swagger")

    @app.get("/docs", include_in_schema=False, dependencies=[Depends(security.anyone)])
    def docs(request: Request) -> Response:
        """Not FastAPI's own page: that one has an inline script."""
        return page(request, "docs.html", DocsPage(), headers={"Content-Security-Policy": CHARTS_CSP})


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
        if error.detail == _UNREADABLE:
            message = _("the body can't be read: it is no JSON or form, or its parts are nested too deeply")
        answer = _answer(request, error.status_code, message)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(DataError)
    @app.exception_handler(OverflowError)
    @app.exception_handler(UnicodeEncodeError)
    def beyond_the_database(request: Request, error: Exception) -> Response:
        log.warning("%s %s: %s", request.method, request.url.path, getattr(error, "orig", error))
        message = _(
            "a value of what was sent can't be kept: a number beyond %(most)s, a NUL, or half a character (a lone "
            "surrogate)",
            most=2**63 - 1,
        )
        return _answer(request, Refused.status, message)

    @app.exception_handler(StatementError)
    def unfit_for_a_column(request: Request, error: StatementError) -> Response:
        """What is raised while a value is made ready for a JSON column comes inside of this."""
        if isinstance(error.orig, (OverflowError, UnicodeEncodeError)):
            return beyond_the_database(request, error)
        raise error

    @app.exception_handler(OperationalError)
    def database_away(request: Request, error: OperationalError) -> Response:
        log.error("%s %s: the database failed: %s", request.method, request.url.path, error.orig)
        message = _("the database does not answer, or its disk is full; nothing was changed: try again in a while")
        return _answer(request, Away.status, message)

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        message = _("pairboard failed here; the server's log has the traceback. Nothing was changed.")
        answer = _answer(request, 500, message)
        for name, value in gate.HEADERS.items():  # made outside of every middleware
            answer.headers[name] = value
        return answer


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
