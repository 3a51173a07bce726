"""Items that several reviewers speak on: how many are asked, who has had their say, and items of known truth."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table("review_consensus", _item(), sa.Column("wanted", sa.Integer(), nullable=False))
    op.create_table("review_dispute", _item())
    op.create_table(
        "review_opinion",
        _item(),
        sa.Column("reviewer", sa.Text(), primary_key=True),
        sa.Column("seq", BIG_ID, sa.ForeignKey("review_decision.seq"), unique=True),
    )
    op.create_index("ix_review_opinion_reviewer", "review_opinion", ["reviewer"])
    op.create_table(
        "review_gold",
        _item(),
        sa.Column("good", sa.Boolean(), nullable=False),
        sa.Column("truth", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("after_seq", sa.BigInteger(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("gold", "opinion", "dispute", "consensus"):
        op.drop_table(f"review_{table}")


def _item() -> "sa.Column[int]":
    return sa.Column("item_id", BIG_ID, sa.ForeignKey("review_item.item_id"), primary_key=True, autoincrement=False)
