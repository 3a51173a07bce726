"""Counts of items by status, category, run and reason, kept by the database itself as items change.

SQLite has one writer, who adds to the count's row. On PostgreSQL writers would wait for each other there: each statement adds
rows of its own, and now and then one of them sums them up.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ITEM_FACETS = (("status", "''"), ("category", "{row}.category"), ("run", "{row}.run_id"))
REASON_FACETS = (("reason", "{row}.reason"),)
COUNTED = (("review_item", ITEM_FACETS), ("review_item_reason", REASON_FACETS))
# Any constant that other programs on the same server are unlikely to lock; and how often a statement sums up.
SUMMING_LOCK, SUMMING_SHARE = 0x5A11_0003, 0.01


def upgrade() -> None:
    """Make the table, count what is there, and keep it so."""
    op.create_table(
        "review_tally",
        sa.Column("tally_id", BIG_ID, primary_key=True),
        sa.Column("facet", sa.String(8), nullable=False),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("num_items", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_review_tally_name", "review_tally", ["facet", "status", "name"])
    for table, facets in COUNTED:
        for facet, name in facets:
            name = name.format(row=table)
            op.execute(
                f"INSERT INTO review_tally (facet, status, name, num_items) SELECT '{facet}', status, {name}, count(*) "
                f"FROM {table} WHERE {name} IS NOT NULL GROUP BY 2, 3"
            )
        if op.get_bind().dialect.name == "sqlite":
            _count_rows(table, facets)
        else:
            _count_statements(table, facets)


def downgrade() -> None:
    """Count no more."""
    for table, _ in COUNTED:
        for verb in ("insert", "update", "delete"):
            on_table = "" if op.get_bind().dialect.name == "sqlite" else f" ON {table}"
            op.execute(f"DROP TRIGGER {table}_tally_{verb}{on_table}")
        if op.get_bind().dialect.name != "sqlite":
            op.execute(f"DROP FUNCTION {table}_tally()")
    op.drop_table("review_tally")


def _count_rows(table: str, facets: tuple[tuple[str, str], ...]) -> None:
    for verb, steps in (("INSERT", {"NEW": 1}), ("UPDATE", {"OLD": -1, "NEW": 1}), ("DELETE", {"OLD": -1})):
        changed = " OR ".join(f"OLD.{c} IS NOT NEW.{c}" for c in _columns(facets)) if verb == "UPDATE" else "1"
        body = " ".join(_added(facet, name.format(row=row), row, by) for row, by in steps.items() for facet, name in facets)
        op.execute(f"CREATE TRIGGER {table}_tally_{verb.lower()} AFTER {verb} ON {table} WHEN {changed} BEGIN {body} END")


def _columns(facets: tuple[tuple[str, str], ...]) -> list[str]:
    return ["status", *(name.partition(".")[2] for _, name in facets if "." in name)]


def _added(facet: str, name: str, row: str, by: int) -> str:
    where = f"facet = '{facet}' AND status = {row}.status AND name = {name}"
    return (
        f"INSERT INTO review_tally (facet, status, name, num_items) SELECT '{facet}', {row}.status, {name}, 0 "
        f"WHERE {name} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM review_tally WHERE {where}); "
        f"UPDATE review_tally SET num_items = num_items + {by} WHERE {where};"
    )


def _count_statements(table: str, facets: tuple[tuple[str, str], ...]) -> None:
    values = ", ".join(f"('{facet}', {name.format(row='changed')})" for facet, name in facets)
    add = (
        "INSERT INTO review_tally (facet, status, name, num_items) SELECT f.facet, changed.status, f.name, sum(changed.step) "
        f"FROM ({{rows}}) AS changed CROSS JOIN LATERAL (VALUES {values}) AS f (facet, name) WHERE f.name IS NOT NULL "
        "GROUP BY 1, 2, 3 HAVING sum(changed.step) <> 0;"
    )
    new, old = "SELECT 1 AS step, * FROM new_rows", "SELECT -1 AS step, * FROM old_rows"
    op.execute(
        f"CREATE FUNCTION {table}_tally() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'INSERT' THEN {add.format(rows=new)} "
        f"ELSIF TG_OP = 'DELETE' THEN {add.format(rows=old)} "
        f"ELSE {add.format(rows=f'{new} UNION ALL {old}')} END IF; "
        f"IF random() < {SUMMING_SHARE} AND pg_try_advisory_xact_lock({SUMMING_LOCK}) THEN "
        "WITH gone AS (DELETE FROM review_tally RETURNING facet, status, name, num_items) "
        "INSERT INTO review_tally (facet, status, name, num_items) SELECT facet, status, name, sum(num_items) FROM gone "
        "GROUP BY 1, 2, 3 HAVING sum(num_items) <> 0; END IF; RETURN NULL; END $$"
    )
    for verb, rows in (("INSERT", ("NEW",)), ("UPDATE", ("OLD", "NEW")), ("DELETE", ("OLD",))):
        named = " ".join(f"{row} TABLE AS {row.lower()}_rows" for row in rows)
        op.execute(
            f"CREATE TRIGGER {table}_tally_{verb.lower()} AFTER {verb} ON {table} REFERENCING {named} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_tally()"
        )
