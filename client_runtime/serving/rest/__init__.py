"""TensorFlow Serving's REST API: JSON in, JSON out.

`handling.py` answers one request and knows nothing of HTTP servers; `application.py` is the server.
What is read and written, and in which words it is refused, is as TensorFlow Serving does it.
"""
