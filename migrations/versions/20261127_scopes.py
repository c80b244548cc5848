"""Roles of members, also a contest's own; private contests; scopes, contest, expiry and last use of tokens.

The first member becomes the owner. A member's token may read, submit scores and run experiments; a worker's token
stays one. Downgrading forgets roles, and makes every token that is none of a worker a member's; one that could do less
than that is revoked: it would open more than it did.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261127_scopes"
down_revision = "20261127_sessions"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ROLES = "role IN ('owner', 'member', 'viewer')"


def upgrade() -> None:
    with op.batch_alter_table("members") as table:
        table.add_column(sa.Column("role", sa.String(length=10), nullable=False, server_default="member"))
        table.add_column(sa.Column("left_at", sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("members") as table:
        table.alter_column("role", server_default=None)
        table.create_check_constraint(op.f("ck_members_role_known"), ROLES)
    op.execute("UPDATE members SET role = 'owner' WHERE id = (SELECT min(id) FROM members)")
    op.create_table(
        "memberships",
        sa.Column("contest_id", KEY, nullable=False),
        sa.Column("member_id", KEY, nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.CheckConstraint(ROLES, name=op.f("ck_memberships_role_known")),
        sa.ForeignKeyConstraint(["contest_id"], ["contests.id"], name=op.f("fk_memberships_contest_id_contests")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_memberships_member_id_members")),
        sa.PrimaryKeyConstraint("contest_id", "member_id", name=op.f("pk_memberships")),
    )
    op.create_index(op.f("ix_memberships_member_id"), "memberships", ["member_id"])
    op.create_table(
        "private_contests",
        sa.Column("contest_id", KEY, nullable=False),
        sa.ForeignKeyConstraint(["contest_id"], ["contests.id"], name=op.f("fk_private_contests_contest_id_contests")),
        sa.PrimaryKeyConstraint("contest_id", name=op.f("pk_private_contests")),
    )
    _tokens_get_scopes()


def _tokens_get_scopes() -> None:
    with op.batch_alter_table("tokens") as table:
        table.add_column(sa.Column("scopes", sa.String(length=100), nullable=False, server_default=""))
        table.add_column(sa.Column("contest_id", KEY, nullable=True))
        table.add_column(sa.Column("member_id", KEY, nullable=True))
        table.add_column(sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
        table.add_column(sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE tokens SET scopes = CASE scope WHEN 'worker' THEN 'worker' ELSE 'read submit run' END")
    with op.batch_alter_table("tokens") as table:
        table.alter_column("scopes", server_default=None)
        table.drop_constraint(op.f("ck_tokens_scope_known"), type_="check")
        table.drop_column("scope")
        table.create_foreign_key(op.f("fk_tokens_contest_id_contests"), "contests", ["contest_id"], ["id"])
        table.create_foreign_key(op.f("fk_tokens_member_id_members"), "members", ["member_id"], ["id"])
        table.create_index(op.f("ix_tokens_member_id"), ["member_id"])


def downgrade() -> None:
    with op.batch_alter_table("tokens") as table:
        table.add_column(sa.Column("scope", sa.String(length=20), nullable=False, server_default="member"))
    op.execute("UPDATE tokens SET scope = CASE scopes WHEN 'worker' THEN 'worker' ELSE 'member' END")
    op.execute(
        "UPDATE tokens SET revoked_at = CURRENT_TIMESTAMP WHERE revoked_at IS NULL AND scope = 'member' AND "
        "(scopes <> 'read submit run' OR contest_id IS NOT NULL OR expires_at IS NOT NULL OR member_id IS NOT NULL)"
    )
    with op.batch_alter_table("tokens") as table:
        table.drop_index(op.f("ix_tokens_member_id"))
        table.drop_constraint(op.f("fk_tokens_member_id_members"), type_="foreignkey")
        table.drop_constraint(op.f("fk_tokens_contest_id_contests"), type_="foreignkey")
        for column in ("scopes", "contest_id", "member_id", "expires_at", "last_used_at"):
            table.drop_column(column)
        table.alter_column("scope", server_default=None)
        table.create_check_constraint(op.f("ck_tokens_scope_known"), "scope IN ('member', 'worker')")
    op.drop_table("private_contests")
    op.drop_index(op.f("ix_memberships_member_id"), table_name="memberships")
    op.drop_table("memberships")
    with op.batch_alter_table("members") as table:
        table.drop_constraint(op.f("ck_members_role_known"), type_="check")
        table.drop_column("left_at")
        table.drop_column("role")
