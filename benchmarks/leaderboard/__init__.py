"""Makes leaderboards of records: comparable groups, ranks, tables, pages and figures."""
