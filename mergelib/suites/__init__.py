"""What is there to merge? Suites: a base, its experts, and the tasks on which they are measured."""
