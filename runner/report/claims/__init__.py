"""The paper's claims, judged from a study's CSV: `runner.report.claims.judge` is the module to begin with."""
