"""Pages from the templates of this floor: HTML with every value escaped, Markdown as it is."""

from __future__ import annotations

from typing import Any


def page(template: str, **values: Any) -> str:
    """Fill a template of `studies/templates`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    loader = PackageLoader("astrogate.studies", "templates")
    environment = Environment(
        loader=loader,
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
