"""What the review page needs: clicks of a decision, undone decisions, work in hand, tokens and sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)
LOGGED = "review_decision.seq"


def upgrade() -> None:
    """Make the tables."""
    _beside_the_log()
    _accounts()


def downgrade() -> None:
    """Drop them."""
    for table in ("session", "token", "work", "undone", "effort"):
        op.drop_table(f"review_{table}")


def _beside_the_log() -> None:
    op.create_table(
        "review_effort",
        sa.Column("seq", BIG_ID, sa.ForeignKey(LOGGED), primary_key=True, autoincrement=False),
        sa.Column("clicks", sa.Integer(), nullable=False),
    )
    op.create_table(
        "review_undone",
        sa.Column("seq", BIG_ID, sa.ForeignKey(LOGGED), primary_key=True, autoincrement=False),
        sa.Column("undone_by", BIG_ID, sa.ForeignKey(LOGGED), nullable=False, unique=True),
    )
    op.create_table(
        "review_work",
        sa.Column("work_id", BIG_ID, primary_key=True),
        sa.Column("item_id", BIG_ID, sa.ForeignKey("review_item.item_id"), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("work", sa.Text(), nullable=False),
        sa.Column("kept_at", TIME, nullable=False),
        sa.UniqueConstraint("item_id", "reviewer", name="uq_review_work_owner"),
    )


def _accounts() -> None:
    op.create_table(
        "review_token",
        sa.Column("token_sha256", sa.String(64), primary_key=True),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("role", sa.String(8), nullable=False),
        sa.Column("made_at", TIME, nullable=False),
        sa.Column("revoked_at", TIME),
    )
    op.create_table(
        "review_session",
        sa.Column("session_sha256", sa.String(64), primary_key=True),
        sa.Column("token_sha256", sa.String(64)),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("role", sa.String(8), nullable=False),
        sa.Column("csrf", sa.String(64), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
    )
