"""The ledger's tables, as `migrations/` leaves them."""

from __future__ import annotations

from sqlalchemy import Float, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The ledger's tables."""


class Row(Base):
    """One event. `hash` covers the row and the hash before it, so an edit or a gap breaks the chain.

    `signature` is the signer's Ed25519 signature of `hash`; both are empty in rows from before signatures.
    """

    __tablename__ = "ledger"

    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(String(40))
    kind: Mapped[str] = mapped_column(String(40))
    model: Mapped[str] = mapped_column(String(200), index=True)
    version: Mapped[int] = mapped_column(Integer)
    body: Mapped[str] = mapped_column(Text)
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    signer: Mapped[str] = mapped_column(String(16), server_default="")
    signature: Mapped[str] = mapped_column(String(96), server_default="")


class Lease(Base):
    """Who acts on a model now, and until when that holds, in seconds since 1970 by the database's clock."""

    __tablename__ = "modelyard_leases"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    holder: Mapped[str] = mapped_column(String(32))
    expires: Mapped[float] = mapped_column(Float(53))
