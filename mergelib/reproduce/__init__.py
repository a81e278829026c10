"""How are the notebooks run again, from the ledger or from nothing?"""
