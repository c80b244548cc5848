"""What somebody does with a key of before, with a role that is not enough, and with an invitation."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from app.accounts import queries, service
from app.accounts.models import Invitation, Member, SignedIn
from app.errors import Conflict
from tests.security.house import PASSWORD, House, refused
from tests.security.table import attack

NEW_PASSWORD = "staple battery horse"


def is_out(browser: TestClient) -> bool:
    """Whether pages and REST both take it for a stranger."""
    return (browser.get("/").status_code, browser.get("/api/v1/me").status_code) == (303, 401)


def invited(house: House, by: TestClient | None = None, **wanted: Any) -> str:
    """The key of a new invitation."""
    answer = (by or house.member).post("/api/v1/invitations", json=wanted)
    assert answer.status_code == 201, answer.text
    key: str = answer.json()["link"].rpartition("=")[2]
    return key


def joins(house: House, key: str, name: str, **more: str) -> Any:
    return house.browser(house.address()).post("/join", data={"key": key, "name": name, "password": PASSWORD, **more})


def role_of(house: House, name: str) -> str:
    with house.app.state.database.reading() as session:
        return str(house.of_name(session, name).role)


def at_once(*calls: Any) -> list[Any]:
    """What each of them returned, having begun together."""
    found: list[Any] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def run(place: int) -> None:
        start.wait()
        found[place] = calls[place]()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@attack("session: a cookie replayed after signing out")
def after_signing_out(house: House) -> None:
    victim = house.person()
    thief = house.thief(victim)
    assert thief.get("/").status_code == 200, "as long as it counts"
    assert victim.post("/sign-out").status_code == 303
    assert is_out(thief)


@attack("session: a cookie replayed after the password was changed")
def after_another_password(house: House) -> None:
    for path, kind in (("/account/password", "data"), ("/api/v1/me/password", "json")):
        victim = house.person()
        thief = house.thief(victim)
        victim.post("/sign-in", data={"name": victim.headers["x-name"], "password": PASSWORD})
        elsewhere = house.browser(house.address())
        house.signs_in(elsewhere, victim.headers["x-name"])
        body: dict[str, Any] = {kind: {"old": PASSWORD, "new": NEW_PASSWORD}}
        assert victim.post(path, **body).status_code in {200, 303}
        assert is_out(thief)
        assert is_out(elsewhere)
        assert victim.get("/").status_code == 200
        refused(house.signs_in(elsewhere, victim.headers["x-name"]), 401)


@attack("session: a cookie replayed after signing out everywhere")
def after_signing_out_everywhere(house: House) -> None:
    for method, path in (("POST", "/account/sessions/end"), ("DELETE", "/api/v1/me/sessions")):
        victim = house.person()
        thief, elsewhere = house.thief(victim), house.browser(house.address())
        house.signs_in(elsewhere, victim.headers["x-name"])
        assert victim.request(method, path).status_code in {200, 303}
        assert is_out(victim)
        assert is_out(thief)
        assert is_out(elsewhere)


@attack("session: a cookie replayed after the account was closed, and after it was opened again")
def after_the_account_closed(house: House) -> None:
    victim = house.person()
    thief, number = house.thief(victim), house.number_of(victim)
    assert house.member.patch(f"/api/v1/members/{number}", json={"left": True}).status_code == 200
    assert is_out(thief)
    refused(house.signs_in(house.browser(house.address()), victim.headers["x-name"]), 401)
    assert house.member.patch(f"/api/v1/members/{number}", json={"left": False}).status_code == 200
    assert is_out(thief)


@attack("session: a cookie after its month")
def after_its_month(house: House) -> None:
    victim = house.person()
    with house.app.state.database.writing() as session:
        expired = update(SignedIn).where(SignedIn.member_id == house.number_of(victim))
        session.execute(expired.values(expires_at=SignedIn.created_at))
    assert is_out(victim)


@attack("session: of an owner, kept open after the role was taken away")
def demoted(house: House) -> None:
    other = house.person("owner")
    assert other.get("/members").status_code == 200
    house.member.patch(f"/api/v1/members/{house.number_of(other)}", json={"role": "viewer"})
    for path in ("/members", "/audit", "/api/v1/members", "/api/v1/audit", "/contests/oppo/webhooks"):
        refused(other.get(path), 403)
    refused(other.post("/api/v1/contests", json={"name": "x"}), 403)
    refused(other.post("/api/v1/invitations", json={"role": "owner"}), 403)


@attack("session: another member's ended, by its number")
def anothers_session(house: House) -> None:
    mallory, victim = house.person(), house.person()
    number = victim.get("/api/v1/me/sessions").json()[0]["id"]
    refused(mallory.delete(f"/api/v1/me/sessions/{number}"), 404)
    refused(mallory.post(f"/account/sessions/{number}/end"), 404)
    refused(mallory.delete(f"/api/v1/members/{house.number_of(victim)}/sessions"), 403)
    assert victim.get("/").status_code == 200


@attack("role: one's own raised, by a field more in a form or in JSON")
def own_role(house: House) -> None:
    for role in ("member", "viewer"):
        mallory = house.person(role)
        name, number = mallory.headers["x-name"], house.number_of(mallory)
        more = {"role": "owner", "is_owner": "true", "scopes": "admin", "member_id": "1", "act": "role"}
        refused(mallory.post("/api/v1/me/password", json={"old": PASSWORD, "new": NEW_PASSWORD, "role": "owner"}), 422)
        assert mallory.post("/account/password", data={"old": PASSWORD, "new": PASSWORD, **more}).status_code == 303
        for method, path in (
            ("PATCH", f"/api/v1/members/{number}"),
            ("POST", f"/members/{number}"),
            ("PUT", f"/api/v1/contests/oppo/members/{number}"),
            ("POST", "/contests/oppo/members"),
            ("POST", "/members"),
        ):
            body = {"data": {**more, "member": str(number)}} if "/api/" not in path else {"json": {"role": "owner"}}
            refused(mallory.request(method, path, **body), 403)
        asked = {"name": "x", "scopes": ["read", "admin"]}
        refused(mallory.post("/api/v1/tokens", json=asked), 403)
        refused(mallory.post("/account/tokens", data=asked), 403)
        refused(mallory.post("/api/v1/tokens", json={"name": "x", "scopes": ["worker"]}), 403)
        assert role_of(house, name) == role
        assert mallory.get("/api/v1/me").json()["role"] == role


@attack("role: a viewer, or a member, invites and adds people")
def viewer_invites(house: House) -> None:
    for role in ("viewer", "member"):
        mallory = house.person(role)
        for kind, path in (("json", "/api/v1/invitations"), ("data", "/members/invitations")):
            for wanted in ({"role": "owner"}, {"role": "viewer", "contest": "oppo"}):
                body: dict[str, Any] = {kind: wanted}
                refused(mallory.post(path, **body), 403)
        refused(mallory.post("/api/v1/members", json={"name": "x", "password": PASSWORD, "role": "owner"}), 403)
        refused(mallory.get("/api/v1/invitations"), 403)


@attack("role: the owner of one contest reaches for the others, and for everybody's roles")
def owner_of_one(house: House) -> None:
    mallory = house.person()
    number = house.number_of(mallory)
    assert house.member.put(f"/api/v1/contests/other/members/{number}", json={"role": "owner"}).status_code == 204
    assert mallory.get("/api/v1/contests/other/members").status_code == 200
    refused(mallory.put(f"/api/v1/contests/oppo/members/{number}", json={"role": "owner"}), 403)
    refused(mallory.patch(f"/api/v1/members/{number}", json={"role": "owner"}), 403)
    refused(mallory.post("/api/v1/invitations", json={"role": "owner", "contest": "other"}), 403)
    for path in ("/api/v1/members", "/api/v1/audit", "/api/v1/audit.csv", "/members", "/audit", "/audit.csv"):
        refused(mallory.get(path), 403)
    made = mallory.post("/api/v1/tokens", json={"name": "x", "scopes": ["read", "admin"]})
    wide = {"Authorization": f"Bearer {made.json()['token']}"}
    refused(house.stranger.get("/api/v1/members", headers=wide), 403)
    refused(house.stranger.get("/api/v1/contests/oppo/members", headers=wide), 403)


@attack("role: the last owner is removed, or made a member")
def last_owner(house: House) -> None:
    with house.app.state.database.writing() as session:
        for other in session.scalars(select(Member).where(Member.role == "owner", Member.name != "ada")):
            other.role = "member"
        ada = house.of_name(session, "ada").id
    for body in ({"role": "member"}, {"role": "viewer"}, {"left": True}):
        assert "only owner" in refused(house.member.patch(f"/api/v1/members/{ada}", json=body), 409)
    for form in ({"act": "role", "role": "viewer"}, {"act": "leave"}):
        assert "only owner" in refused(house.member.post(f"/members/{ada}", data=form), 409)
    assert role_of(house, "ada") == "owner"


@attack("role: two owners take it from each other at once, so that none is left")
def no_owner_left(house: House) -> None:
    last_owner(house)
    other = house.person("owner")
    with house.app.state.database.reading() as session:
        names = ("ada", other.headers["x-name"])
    looked = threading.Barrier(2, timeout=0.5)
    real = service.queries.locked_owners

    def both_look_first(session: Any) -> Any:
        found = real(session)
        try:
            looked.wait()
        except threading.BrokenBarrierError:  # the other one was made to wait: as it should be
            return found
        return found

    def demote(name: str) -> str:
        try:
            with house.app.state.database.writing() as session:
                service.set_role(session, house.of_name(session, name), "member")
        except Conflict:
            return "refused"
        return "done"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.queries, "locked_owners", both_look_first)
        told = at_once(*(lambda name=name: demote(name) for name in names))
    with house.app.state.database.writing() as session:
        left = queries.any_owner(session)
        house.of_name(session, "ada").role = "owner"
    assert left, "somebody can still let people in"
    assert sorted(told) == ["done", "refused"]


@attack("invitation: used twice, one after the other and at once")
def used_twice(house: House) -> None:
    key = invited(house, role="viewer")
    assert joins(house, key, "first guest").status_code == 303
    assert "used already" in refused(joins(house, key, "second guest"), 422)
    refused(house.browser().get(f"/join?key={key}"), 422)
    key = invited(house, role="viewer")
    guests = [f"guest {number} at once" for number in range(2)]
    statuses = [answer.status_code for answer in at_once(*(lambda g=g: joins(house, key, g) for g in guests))]
    assert sorted(statuses) == [303, 422]


@attack("invitation: one that has expired, was taken back, or was guessed")
def worthless(house: House) -> None:
    expired, taken = invited(house, note="expired"), invited(house, note="taken back")
    with house.app.state.database.writing() as session:
        for row in session.scalars(select(Invitation).where(Invitation.note == "expired")):
            row.expires_at -= timedelta(days=8)
        number = session.scalars(select(Invitation.id).where(Invitation.note == "taken back")).one()
    assert house.member.delete(f"/api/v1/invitations/{number}").status_code == 204
    for key, status in ((expired, 422), (taken, 404), ("pb-join_guessed", 404), ("", 404)):
        refused(joins(house, key, "never there"), status, 422)
        refused(house.browser().get(f"/join?key={key}"), status)
    with house.app.state.database.reading() as session:
        assert queries.member_by_name(session, "never there") is None


@attack("invitation: for a viewer of one contest, made one for more by what is sent with it")
def widened(house: House) -> None:
    key = invited(house, role="viewer", contest="other")
    guest = house.browser(house.address())
    form = {"key": key, "name": "guest of other", "password": PASSWORD, "role": "owner", "contest": "oppo"}
    assert guest.post("/join", data=form).status_code == 303
    assert guest.get("/api/v1/me").json()["role"] == "viewer"
    for slug in ("oppo", "other"):
        refused(guest.get(f"/api/v1/contests/{slug}/members"), 403)
        refused(guest.post(f"/api/v1/contests/{slug}/online-scores", json={"value": 0.5, "experiment": 1}), 403)


@attack("invitation: of an owner, who makes an owner of a second account after being demoted or closed")
def kept_invitation(house: House) -> None:
    for change in ({"role": "member"}, {"left": True}):
        mallory = house.person("owner")
        number = house.number_of(mallory)
        by_token = house.token("admin", of=mallory)
        kept = [
            invited(house, mallory, role="owner"),
            house.stranger.post("/api/v1/invitations", json={"role": "owner"}, headers=by_token)
            .json()["link"]
            .rpartition("=")[2],
        ]
        assert house.member.patch(f"/api/v1/members/{number}", json=change).status_code == 200
        for key in kept:
            refused(joins(house, key, f"second account of {number}"), 404)
