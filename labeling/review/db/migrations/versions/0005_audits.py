"""Items shown for a verdict alone, and which draw of a random audit they belong to."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the column and the table; no item that is there is one of them."""
    op.add_column("review_item", sa.Column("blind", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "review_audit",
        sa.Column("draw", sa.Text(), primary_key=True),
        sa.Column("item_id", BIG_ID, sa.ForeignKey("review_item.item_id"), primary_key=True, autoincrement=False),
        sa.Column("inclusion", sa.Double(), nullable=False),
        sa.Column("drawn_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("review_audit")
    op.drop_column("review_item", "blind")
