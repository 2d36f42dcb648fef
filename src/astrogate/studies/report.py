"""HTML pages from the templates in this folder, with every value escaped."""

from __future__ import annotations

from typing import Any


def page(template: str, **values: Any) -> str:
    """Fill a template of `studies/templates`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("astrogate.studies", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template(template).render(**values)
