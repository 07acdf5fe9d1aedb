"""Questions about the demo company, and how well the knowledge base answers them."""
