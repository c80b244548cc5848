"""Whom to tell, and what is still to be told."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, BigKey


class Webhook(Base):
    """An address that is told of some events; without a contest, of every contest's. `secret` signs what is sent;
    vault.py says how it lies here."""

    __tablename__ = "webhooks"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    contest_id: Mapped[int | None] = mapped_column(ForeignKey("contests.id"), index=True)
    url: Mapped[str] = mapped_column(String(500))
    secret: Mapped[str] = mapped_column(String(300))
    events: Mapped[list[Any]]
    created_by: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]


class WebhookDelivery(Base):
    """A message to a webhook, written in the transaction of what it tells of; `body` is what is signed, to the byte.

    `next_try_at` is None once it was delivered or given up. While it is being sent it lies a while ahead.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("outcome IN ('waiting', 'delivered', 'failed')", name="outcome_known"),
        Index("ix_webhook_deliveries_next_try_at", "next_try_at"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id"), index=True)
    message_id: Mapped[str] = mapped_column(String(60), unique=True)
    event: Mapped[str] = mapped_column(String(40))
    body: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(String(20), default="waiting")
    tries: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime | None]
    last_error: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
