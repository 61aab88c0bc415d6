"""``raytuner serve``: a pipeline behind OpenAI's protocol; `serve.py` starts it, `app.py` is an ASGI application."""
