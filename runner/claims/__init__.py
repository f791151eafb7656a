"""The paper's claims, judged from a study's rows: `judge.judge` is the call to know."""
