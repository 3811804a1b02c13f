"""Looking at retrievals: a page to browse them, and sheets."""
