"""The queue's figures for Prometheus: for this machine itself, and for others who bring a reviewer's token."""

from fastapi import APIRouter, Request, Response

from labeling import metrics
from labeling.review.figures import figures_of
from labeling.review.web.errors import Refused
from labeling.review.web.proxies import is_from_here
from labeling.review.web.services import Served, Services
from labeling.review.web.sessions import with_limit

router = APIRouter()


@router.get("/metrics")
def read_metrics(request: Request, services: Served) -> Response:
    """Backlog, its oldest item, leases and decisions, in Prometheus's text format."""
    if not _may_read(request, services):
        raise Refused(401, "unauthorized", "figures are for this machine", "send Authorization: Bearer TOKEN, a reviewer's")
    figures = services.figures.of("", lambda: figures_of(services.queue))
    return Response(metrics.text(figures), media_type=metrics.CONTENT_TYPE)


def _may_read(request: Request, services: Services) -> bool:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if is_from_here(request):
        return True
    return kind.lower() == "bearer" and with_limit(request, services, lambda: services.accounts.holds(token))
