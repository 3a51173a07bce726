"""A certificate beside its snapshot: written as JSON and as a page, carried along to later snapshots that it stands for."""

import logging
from collections.abc import Callable
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template

from labeling.certify.audit import basis_of
from labeling.certify.certificate import Certificate, carried, newest_certificate, why_void
from labeling.objects import Objects
from labeling.store import layout
from labeling.store.snapshots import Snapshot
from labeling.store.versions.card import facts_in_card, write_card

log = logging.getLogger(__name__)


def html_template(package: str, name: str, **filters: Callable[..., str]) -> Template:
    """Return a template of HTML that lies in a package: values are escaped, and one that is not given is an error."""
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters.update(filters)
    return page.from_string(files(package).joinpath(name).read_text(encoding="utf-8"))


def render(certificate: Certificate) -> str:
    """The page, one file that needs nothing beside it; equal certificates give equal text."""
    return html_template("labeling.certify", "certificate.html").render(c=certificate)


def write_certificate(objects: Objects, snapshot: Snapshot, certificate: Certificate) -> str:
    """Put a certificate and its page beside a snapshot, and into the snapshot's card; returns the page's URI."""
    own, page = carried(certificate, snapshot), layout.certificate(snapshot.version, "html")
    objects.put(page, render(own).encode())
    objects.put(layout.certificate(snapshot.version), own.to_json())
    write_card(objects, snapshot, facts_in_card(objects, snapshot))
    return objects.uri(page)


def carry_along(objects: Objects, snapshot: Snapshot) -> str:
    """Let a new snapshot have the newest certificate, where that stands for it; returns why it does not, "" where it does.

    Where no certificate was ever made there is nothing to carry.
    """
    newest = newest_certificate(objects)
    if newest is None or newest[1] >= snapshot.version:
        return ""
    certificate, version = newest
    void = why_void(certificate, objects, snapshot, basis_of(objects, snapshot))
    if void:
        told = "the certificate of v%06d is void for %s: %s; `labeling certify` makes another"
        log.warning(told, version, snapshot.name, void)
    else:
        write_certificate(objects, snapshot, certificate)
    return void
