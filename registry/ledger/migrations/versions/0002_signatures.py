"""Signed rows, leases, and a database that refuses to change or remove a row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns, the table of leases and the triggers."""
    op.add_column("ledger", sa.Column("signer", sa.String(16), nullable=False, server_default=""))
    op.add_column("ledger", sa.Column("signature", sa.String(96), nullable=False, server_default=""))
    op.create_table(
        "modelyard_leases",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("holder", sa.String(32), nullable=False),
        sa.Column("expires", sa.Float(53), nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("update", "delete"):
            op.execute(
                f"create trigger ledger_no_{verb} before {verb} on ledger "
                "begin select raise(abort, 'the ledger is append-only'); end"
            )
        op.execute(
            "create trigger ledger_no_replace before insert on ledger when exists (select 1 from ledger where seq = new.seq) "
            "begin select raise(abort, 'the ledger is append-only'); end"
        )
    elif op.get_bind().dialect.name == "postgresql":
        op.execute(
            "create or replace function modelyard_append_only() returns trigger language plpgsql as "
            "$$ begin raise exception 'the ledger is append-only'; end $$"
        )
        op.execute(
            "create trigger ledger_append_only before update or delete or truncate on ledger "
            "for each statement execute function modelyard_append_only()"
        )
