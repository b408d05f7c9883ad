"""The course on one local page: `gpt2 web`.

serve (the address, the port, the end) -> app (routes) -> hub -> live, sitting, training -> pages (HTML)
security (who may come in)
"""
