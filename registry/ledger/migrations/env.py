"""What Alembic runs: on the connection that `migrate` opened."""

from __future__ import annotations

from alembic import context

from registry.ledger.migrations import VERSION_TABLE
from registry.ledger.models import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
