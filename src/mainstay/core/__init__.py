"""The nouns of operations: no input or output, no library but pydantic and cronsim."""
