"""How were the shipped models made? Recipes, training, storing."""
