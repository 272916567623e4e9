"""Cuts a network into blocks that may stay in float each by itself. Knows graphs, and nothing about int8.

A block begins at a layer with weights where a single tensor holds all that the network knows: residual
branches stay whole, and so does what follows a layer, such as its activation.
"""

from collections.abc import Iterator

from onnx import GraphProto, ModelProto, NodeProto

from edgetl_exporters.graph import find_classifier, outside_nodes

_WEIGHTED = ("Conv", "Gemm", "MatMul")


def blocks(model: ModelProto, most: int) -> list[tuple[str, ...]]:
    """Return the names of the nodes of each block, input side first: at most `most` blocks.

    What lies outside the network, and its classifier, belong to no block. Where there are more blocks, the
    smallest neighbours become one.
    """
    outside = {*outside_nodes(model), *find_classifier(model).nodes}
    found: list[list[str]] = []
    for segment in _segments(model.graph, outside):
        names = [node.name for node in segment]
        if found and not any(node.op_type in _WEIGHTED for node in segment):
            found[-1] += names
        else:
            found.append(names)
    while len(found) > most:
        place = min(range(len(found) - 1), key=lambda n: len(found[n]) + len(found[n + 1]))
        found[place : place + 2] = [found[place] + found[place + 1]]
    return [tuple(block) for block in found]


def _segments(graph: GraphProto, outside: set[str]) -> Iterator[list[NodeProto]]:
    """Yield runs of nodes, each ending where one tensor alone is still to be read."""
    nodes = [node for node in graph.node if node.name not in outside]
    last_use = {name: place for place, node in enumerate(nodes) for name in node.input}
    made: set[str] = set()
    segment: list[NodeProto] = []
    for place, node in enumerate(nodes):
        segment.append(node)
        made.update(node.output)
        made = {name for name in made if last_use.get(name, -1) > place}
        if len(made) <= 1:
            yield segment
            segment = []
    if segment:
        yield segment
