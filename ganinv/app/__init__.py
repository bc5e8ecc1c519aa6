"""The web page and its HTTP API: `ganinv app`. Only `page`, `endpoints` and `server` import Gradio."""
