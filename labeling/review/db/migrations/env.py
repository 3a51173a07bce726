"""Alembic's entry point: runs on the connection that `labeling.review.db.database` hands over, inside its transaction.

By hand: `alembic -x url=sqlite:///review.sqlite upgrade head` with `script_location = labeling:review/db/migrations`.
"""

from alembic import context
from sqlalchemy import Connection, create_engine

from labeling.review.db.database import VERSION_TABLE
from labeling.review.db.tables import Base


def migrate_on(connection: Connection) -> None:
    """Run the missing steps on an open connection."""
    context.configure(connection=connection, target_metadata=Base.metadata, version_table=VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()


def migrate_by_url() -> None:
    """Run the missing steps on the database that `-x url=...` names."""
    url = context.get_x_argument(as_dictionary=True).get("url")
    if url is None:
        raise SystemExit("url is missing; expected -x url=sqlite:///PATH or -x url=postgresql+psycopg://...")
    with create_engine(url).begin() as connection:
        migrate_on(connection)


given = context.config.attributes.get("connection")
if given is None:
    migrate_by_url()
else:
    migrate_on(given)
