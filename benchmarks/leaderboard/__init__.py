"""What the records say: comparable groups, ranks, tables, pages and figures."""
