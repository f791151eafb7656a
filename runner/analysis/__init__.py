"""Numbers from rows: arms, winners, statistics, maps. Draws nothing and imports no torch."""
