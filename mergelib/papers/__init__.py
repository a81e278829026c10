"""What did the papers print and claim, and did it hold?"""
