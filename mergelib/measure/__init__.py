"""How good is a model, and has that been measured before? Scores, answers, intervals, the ledger."""
