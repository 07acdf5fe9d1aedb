"""The knowledge base: documents in, answers with citations out, each caller's rights inside every query."""
