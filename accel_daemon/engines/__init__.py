"""What executes graphs: one module an engine, all behind the small protocol in `engine.py`.

An engine's framework is imported when the engine is opened and not before, so that naming an engine
costs nothing. Only accelerator processes open engines; the supervisor never does.
"""
