"""The pages of the knowledge base: documents, search playground, jobs. They ask the use cases that the tools ask."""
