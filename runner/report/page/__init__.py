"""report.html: `page.page` makes the whole study one file."""
