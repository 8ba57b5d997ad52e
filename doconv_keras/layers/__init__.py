"""One layer at a time: its sizes, its arrays, and how it becomes plain again."""
