"""A study: a declared file, the search or ablation that it asks for, and the end of it."""
