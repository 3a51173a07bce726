"""Items with leases, their reasons, the chained decision log, drafts, events and applied corrections."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Columns = list[str | sa.TextClause | sa.ColumnElement[Any]]
TIME = sa.DateTime(timezone=True)
FIRST_HASH = "0" * 64
APPEND_ONLY = ("review_decision", "review_event")


def upgrade() -> None:
    """Make every table, index and guard."""
    _items()
    _reasons()
    _decisions()
    _afterlife()
    for table in APPEND_ONLY:
        _refuse_changes(table)


def downgrade() -> None:
    """Drop everything, decisions included."""
    for table in ("applied", "draft", "event", "decision", "chain_head", "item_reason", "item"):
        op.drop_table(f"review_{table}")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION review_append_only()")


def _items() -> None:
    op.create_table(
        "review_item",
        sa.Column("item_id", BIG_ID, primary_key=True),
        sa.Column("video_id", sa.String(16), nullable=False),
        sa.Column("track_id", sa.String(20), nullable=False),
        sa.Column("label_version", sa.Integer(), nullable=False),
        sa.Column("video_key", sa.Text(), nullable=False),
        sa.Column("category", sa.Text()),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("snapshot", sa.Text(), nullable=False),
        sa.Column("risk", sa.Double(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("first_frame", sa.Integer(), nullable=False),
        sa.Column("end_frame", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("closed_because", sa.Text()),
        sa.Column("lease_token", sa.String(64), unique=True),
        sa.Column("lease_reviewer", sa.Text()),
        sa.Column("lease_started_at", TIME),
        sa.Column("lease_expires_at", TIME),
        sa.UniqueConstraint("video_id", "track_id", "label_version", name="uq_review_item_identity"),
    )
    rank: Columns = [sa.text("priority DESC"), sa.text("risk DESC"), "item_id"]
    op.create_index("ix_review_item_rank", "review_item", ["status", *rank])
    op.create_index("ix_review_item_category", "review_item", ["status", "category", *rank, "run_id"])
    op.create_index("ix_review_item_run", "review_item", ["status", "run_id", *rank])
    op.create_index("ix_review_item_lease", "review_item", ["status", "lease_expires_at"])


def _reasons() -> None:
    op.create_table(
        "review_item_reason",
        sa.Column("item_id", BIG_ID, sa.ForeignKey("review_item.item_id"), primary_key=True),
        sa.Column("reason", sa.Text(), primary_key=True),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("risk", sa.Double(), nullable=False),
        sa.Column("category", sa.Text()),
        sa.Column("run_id", sa.Text(), nullable=False),
    )
    rank: Columns = [sa.text("priority DESC"), sa.text("risk DESC"), "item_id"]
    columns: Columns = ["reason", "status", *rank, "category", "run_id"]
    op.create_index("ix_review_item_reason_rank", "review_item_reason", columns)


def _decisions() -> None:
    op.create_table(
        "review_decision",
        sa.Column("seq", BIG_ID, primary_key=True, autoincrement=False),
        sa.Column("item_id", BIG_ID, sa.ForeignKey("review_item.item_id"), nullable=False, index=True),
        sa.Column("video_id", sa.String(16), nullable=False),
        sa.Column("track_id", sa.String(20), nullable=False),
        sa.Column("label_version", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(8), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("decided_at", TIME, nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("prompts", sa.Text(), nullable=False),
        sa.Column("lease_token", sa.String(64), nullable=False, unique=True),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("row_hash", sa.String(64), nullable=False, unique=True),
    )
    head = op.create_table(
        "review_chain_head",
        sa.Column("head_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("num_decisions", sa.BigInteger(), nullable=False),
        sa.Column("row_hash", sa.String(64), nullable=False),
    )
    op.bulk_insert(head, [{"head_id": 1, "num_decisions": 0, "row_hash": FIRST_HASH}])


def _afterlife() -> None:
    op.create_table(
        "review_applied",
        sa.Column("seq", BIG_ID, sa.ForeignKey("review_decision.seq"), primary_key=True, autoincrement=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("applied_at", TIME, nullable=False),
    )
    op.create_table(
        "review_draft",
        sa.Column("draft_id", BIG_ID, primary_key=True),
        sa.Column("item_id", BIG_ID, sa.ForeignKey("review_item.item_id"), nullable=False, index=True),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("action", sa.String(8), nullable=False),
        sa.Column("prompts", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("refused_because", sa.Text(), nullable=False),
        sa.Column("kept_at", TIME, nullable=False),
    )
    op.create_table(
        "review_event",
        sa.Column("event_id", BIG_ID, primary_key=True),
        sa.Column("item_id", BIG_ID, sa.ForeignKey("review_item.item_id"), nullable=False, index=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("happened_at", TIME, nullable=False),
        sa.Column("reviewer", sa.Text()),
        sa.Column("lease_token", sa.String(64), index=True),
        sa.Column("detail", sa.Text(), nullable=False),
    )


def _refuse_changes(table: str) -> None:
    """Make the database itself refuse to change or delete a row of a log."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION review_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION review_append_only()"
    )
