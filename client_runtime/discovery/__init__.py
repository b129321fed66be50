"""Where accelerators are, which of them are visible, and as whom to use them.

`endpoints.py` asks the sources in their order; each source has a module of its own. What metadata
services say is a stranger's word until a certificate proves it.
"""
