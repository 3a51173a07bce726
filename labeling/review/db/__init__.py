"""The queue's database: tables, migrations, the log's hash chain, counts."""
