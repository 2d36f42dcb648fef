"""No circle of imports; those inside functions count."""

from __future__ import annotations

from graphlib import TopologicalSorter

import grimp


def test_no_module_is_imported_by_what_it_imports() -> None:
    graph = grimp.build_graph("astrogate", exclude_type_checking_imports=True)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 200
    TopologicalSorter(imports).prepare()  # raises CycleError, with the circle
