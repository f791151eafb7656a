"""The CSV tables of a study: `records.Records` appends rows, `read.read` gives them to pandas."""
