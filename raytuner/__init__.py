"""raytuner: find the best settings of a RAG pipeline."""

__version__ = "0.1.0"
