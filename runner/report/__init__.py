"""A study's tables, plots and page: `write.write_report(folder)`, or `python -m runner.report FOLDER`."""
