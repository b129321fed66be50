"""`GET /ca.pem`: the authority's certificate, for a client that was invited with its digest.

Public, as a certificate is. Who asks over a connection that is not verified yet must compare the
digest before believing anything else; see `accel attach`.
"""

from __future__ import annotations

from aiohttp import web

AUTHORITY_PEM = web.AppKey("authority_pem", bytes)


async def authority_certificate(request: web.Request) -> web.StreamResponse:
    """The certificate in PEM."""
    return web.Response(body=request.app[AUTHORITY_PEM], content_type="application/x-pem-file")
