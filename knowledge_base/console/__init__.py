"""The pages of the knowledge base: documents, search playground, upload, jobs. They ask the use cases of the tools."""
