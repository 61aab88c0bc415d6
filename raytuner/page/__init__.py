"""The report: what it says of a run (`data`), and that as a page, Markdown, JSON or a table."""
