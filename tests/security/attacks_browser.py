"""What another site, or a page of another site, has a member's browser do."""

from typing import Any

from starlette.testclient import TestClient

from app.main import create_app
from tests.security.house import HOST, PASSWORD, House, dangers, refused
from tests.security.table import attack

NEW = {"name": "evil", "metric": "roc_auc"}
PAGES = (
    *("/", "/contests/new", "/contests/oppo", "/contests/oppo/files", "/contests/oppo/compare?ids=1", "/experiments/1"),
    *(
        "/experiments/new?contest=oppo",
        "/experiments/1/edit",
        "/queue",
        "/workers",
        "/search?q=x",
        "/keyboard",
        "/docs",
    ),
    *("/contests/oppo/trash", "/runs/1/log", "/curves?run=1", "/no-such-page", "/sign-in"),
)


def posted(house: House, headers: dict[str, str], path: str = "/contests", **data: str) -> Any:
    return house.member.post(path, data=data or NEW, headers=headers)


@attack("CSRF: a form of another site, with the member's cookie")
def cross_site(house: House) -> None:
    told = refused(posted(house, {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}), 403)
    assert "another site" in told


@attack("CSRF: a form of a neighbour in the same domain")
def same_site(house: House) -> None:
    refused(posted(house, {"Sec-Fetch-Site": "same-site", "Origin": "http://blog.example"}), 403)


@attack("CSRF: an old browser that sends Origin alone")
def origin_alone(house: House) -> None:
    assert "evil.example" in refused(posted(house, {"Origin": "https://evil.example"}), 403)


@attack("CSRF: Sec-Fetch-Site says ours, Origin does not")
def both_must_agree(house: House) -> None:
    refused(posted(house, {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}), 403)


@attack("CSRF: the null origin of a sandboxed frame")
def null_origin(house: House) -> None:
    refused(posted(house, {"Origin": "null"}), 403)


@attack("CSRF: our own name on another port")
def other_port(house: House) -> None:
    refused(posted(house, {"Origin": f"http://{HOST}:8080"}), 403)


@attack("CSRF: our name as the start of another's")
def longer_name(house: House) -> None:
    refused(posted(house, {"Origin": f"http://{HOST}.evil.example"}), 403)


@attack("CSRF: an Origin that is no address")
def broken_origin(house: House) -> None:
    refused(posted(house, {"Origin": "http://["}), 403)


@attack("CSRF: on loopback, where nobody has to sign in")
def on_loopback(house: House) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        refused(house.local.post("/api/v1/contests", json=NEW, headers=headers), 403)


@attack("CSRF: an Authorization header of no meaning, to be taken for a program")
def dressed_as_program(house: House) -> None:
    headers = {"Authorization": "Basic YTpi", "Sec-Fetch-Site": "cross-site"}
    refused(house.local.post("/api/v1/contests", json=NEW, headers=headers), 403)


@attack("CSRF: by PUT, PATCH and DELETE")
def other_methods(house: House) -> None:
    for method, path in (("PUT", "/api/v1/queues/x/pause"), ("PATCH", "/api/v1/experiments/1"), ("DELETE", "/x")):
        refused(house.member.request(method, path, headers={"Sec-Fetch-Site": "cross-site"}), 403)


@attack("CSRF: JSON sent as text/plain by a form of our own site's visitor")
def text_plain(house: House) -> None:
    headers = {"Content-Type": "text/plain"}
    refused(house.member.post("/api/v1/contests", content='{"name": "evil"}', headers=headers), 422)


@attack("CSRF: signing the victim in as the attacker")
def login(house: House) -> None:
    refused(posted(house, {"Sec-Fetch-Site": "cross-site"}, "/sign-in", name="ada", password="x"), 403)


@attack("CSRF: signing the victim out")
def logout(house: House) -> None:
    refused(posted(house, {"Sec-Fetch-Site": "cross-site"}, "/sign-out"), 403)
    assert house.member.get("/").status_code == 200


@attack("CORS: another site reads an answer")
def cors(house: House) -> None:
    answer = house.member.get("/api/v1/contests", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    refused(house.member.options("/api/v1/contests", headers=asked), 405)


@attack("DNS rebinding: loopback under another name")
def rebinding(house: House) -> None:
    refused(house.local.get("/api/v1/contests", headers={"Host": "evil.example"}), 403)


@attack("Host: a name that is not ours, to poison links and caches")
def foreign_host(house: House) -> None:
    assert "PAIRBOARD_ALLOWED_HOSTS" in refused(house.member.get("/contests/", headers={"Host": "evil.example"}), 403)


@attack("Host: no name at all, and no address")
def broken_host(house: House) -> None:
    for host in ("[", "", "a b", "evil.example@127.0.0.1", "127.0.0.1:x"):
        refused(house.local.get("/", headers={"Host": host}), 400, 403)


@attack("Host: X-Forwarded-Host of a proxy that nobody trusts")
def forwarded_host(house: House) -> None:
    headers = {"Host": "evil.example", "X-Forwarded-Host": HOST}
    refused(house.member.get("/", headers=headers), 403)


@attack("proxy: a stranger says that he comes from loopback")
def forwarded_for(house: House) -> None:
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):
        refused(house.stranger.get("/api/v1/contests", headers={name: "127.0.0.1"}), 401)


@attack("proxy: through a proxy on our machine to what is open to its user")
def behind_a_proxy(house: House) -> None:
    refused(house.local.get("/api/v1/contests", headers={"X-Forwarded-For": "203.0.113.9"}), 403)


@attack("https: a browser that was here is led back to plain http")
def downgrade(house: House) -> None:
    """Over https, as a trusted proxy or the operator says, it is told to keep to it; over http nobody is believed."""
    name = "strict-transport-security"
    for answer in (
        house.member.get("/"),
        house.stranger.get("/sign-in", headers={"X-Forwarded-Proto": "https"}),
        house.local.get("/"),
    ):
        assert name not in answer.headers
    told = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"}
    by_proxy, plain, here = {"trusted_proxies": "10.0.0.7"}, {**told, "X-Forwarded-Proto": "http"}, "127.0.0.1:8000"
    for changes, asked in (
        (by_proxy, (("10.0.0.7", told, True), ("10.0.0.8", told, False), ("10.0.0.7", plain, False))),
        ({**by_proxy, "hsts_days": 0}, (("10.0.0.7", told, False),)),
        ({"https": True}, (("10.0.0.7", {}, True), ("10.0.0.7", {"Host": here}, False))),
    ):
        app = create_app(house.app.state.settings.model_copy(update=changes))
        for ip, headers, kept in asked:
            client = TestClient(app, base_url=f"http://{HOST}", client=(ip, 4000), follow_redirects=False)
            for path in ("/sign-in", "/static/live.js", "/api/v1/contests", "/no-such-page"):
                found = client.get(path, headers=headers).headers.get(name)
                assert found == ("max-age=31536000" if kept else None), (changes, path)
            signed = client.post("/sign-in", data={"name": "ada", "password": PASSWORD}, headers=headers)
            assert ("secure" in signed.headers["set-cookie"].lower()) == (kept or "hsts_days" in changes)
        app.state.database.dispose()


@attack("open redirect: by the Referer of a preference")
def referer(house: House) -> None:
    for address in ("https://evil.example/x", "//evil.example//evil.example", "https://h/\\\\evil.example", "http://["):
        answer = house.member.post("/preferences", data={"theme": "dark"}, headers={"Referer": address})
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/")
        assert answer.headers["location"][1:2] not in {"/", "\\"}


@attack("open redirect: by a path of two slashes")
def two_slashes(house: House) -> None:
    for path in ("//evil.example/", "/%5Cevil.example/", "//evil.example/..;/"):
        answer = house.member.get(f"http://{HOST}{path}")
        assert "evil.example" not in answer.headers.get("location", "").removeprefix(f"http://{HOST}/"), answer.headers
        refused(answer, 307, 404)


@attack("open redirect: by what a form says to go back to")
def back_to(house: House) -> None:
    for name in ("next", "back", "return_to", "search"):
        path = f"/contests/oppo/selection?{name}=https://evil.example"
        answer = house.member.post(path, data={"action": "only", "ids": "1"})
        assert answer.headers.get("location", "/").startswith("/contests/oppo"), name


@attack("header injection: line breaks in what becomes a Location")
def split_location(house: House) -> None:
    path = "/contests/oppo/selection?search=x%0d%0aSet-Cookie:%20pairboard=evil"
    answer = house.member.post(path, data={"action": "only", "ids": "1"})
    assert "evil" not in answer.headers.get("set-cookie", "")
    assert not set("\r\n") & set(answer.headers.get("location", ""))


@attack("header injection: by the name of a downloaded file")
def split_filename(house: House) -> None:
    for path in ('/contests/oppo"%0d%0aX-Evil:1/leaderboard.csv', "/api/v1/runs/1/artifacts/a%0d%0aX-Evil:1"):
        answer = house.member.get(path)
        refused(answer, 404, 422)
        assert "x-evil" not in answer.headers


@attack("header injection: by a request id that comes back")
def request_id(house: House) -> None:
    for given in ("a b", "<script>", "x" * 65, "a\tb"):
        assert house.member.get("/keyboard", headers={"X-Request-ID": given}).headers["x-request-id"] != given


@attack("clickjacking: one of our pages, or of our refusals, in a frame")
def framed(house: House) -> None:
    for path in (*PAGES, "/contests/oppo?sort=none", "/api/v1/contests", "/static/live.js", "/health"):
        answer = house.member.get(path)
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], path
        assert answer.headers["x-frame-options"] == "DENY"
    assert house.member.get("/", headers={"Host": "evil.example"}).headers["x-frame-options"] == "DENY"


@attack("sniffing: an answer taken for a page, and an address told to others")
def sniffed(house: House) -> None:
    for path in PAGES:
        headers = house.member.get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "same-origin"
        assert "no-cache" in headers["cache-control"]


@attack("script: inline, which the policy of every page refuses")
def inline(house: House) -> None:
    for path in PAGES:
        answer = house.member.get(path)
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["script-src"] == "'self'", path
        assert policy["default-src"] == "'none'"
        assert policy["form-action"] == "'self'"
        assert dangers(answer.text) == [], path


@attack("cookie: read by a script, or sent from another site")
def cookie(house: House) -> None:
    with house.browser() as browser:
        answer = browser.post("/sign-in", data={"name": "ada", "password": "correct horse battery"})
        for told in answer.headers.get_list("set-cookie"):
            assert "httponly" in told.lower(), told
            assert "samesite=lax" in told.lower() or "samesite=strict" in told.lower(), told


@attack("file: a page among a run's artifacts, opened on our site")
def artifact_page(house: House) -> None:
    from tests.factories import upload_over_http

    run, mine = house.claimed(101)
    upload_over_http(house.stranger, run, "index.html", b"<script>alert(1)</script>", mine)
    answer = house.member.get(f"/api/v1/runs/{run}/artifacts/index.html")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
