"""Makes the site: pages in Markdown from records, registries and docstrings, and HTML of them by MkDocs."""
