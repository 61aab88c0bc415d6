"""The RAG pipeline as pure stages with content keys."""
