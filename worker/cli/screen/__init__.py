"""How jobs, results and logs look in a terminal."""
