"""nuScenes' map expansion (version 1.3) of a town, from the roads of its OpenDRIVE.

    maps/expansion/TOWN.json    what NuScenesMap(dataroot, TOWN) of nuscenes-devkit reads

Coordinates are those of the ego poses: the recording's world, in metres, which may be negative.
Roads and lanes are polygons between the lanes' borders; paths along lanes are chains of straight
parts. Stop lines and traffic lights are not in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from realmaster_live.datasets.nuscenes_tables import token_of
from realmaster_live.datasets.road_map import Lane, Look, Points, RoadMap

VERSION = "1.3"
RADIUS_M = 999.0  # of the arcs of a path, which have no length
SLACK_M = 0.02  # by which a line may miss points of the lane
MIN_STEP_M = 0.01  # shorter parts of a path have no direction
DRIVABLE = frozenset({"driving", "shoulder", "parking", "bidirectional", "stop"})
SEGMENT_TYPES = {
    "solid": "SINGLE_SOLID",
    "broken": "DASHED",
    "solid_solid": "DOUBLE_SOLID",
    "broken_broken": "DOUBLE_DASHED",
    "solid_broken": "SOLID_DASHED",
    "broken_solid": "DASHED_SOLID",
}
LAYERS = (
    "polygon", "line", "node", "drivable_area", "road_segment", "road_block", "lane",
    "ped_crossing", "walkway", "stop_line", "carpark_area", "road_divider", "lane_divider",
    "traffic_light", "lane_connector",
)  # fmt: skip


def expansion_of(roads: RoadMap, town: str) -> dict[str, Any]:
    """Return the content of a town's file; tokens are the same in every run."""
    layers = _Layers(town)
    by_road: dict[int, list[Lane]] = defaultdict(list)
    for lane in roads.lanes.values():
        if lane.kind == "driving":
            by_road[lane.key[0]].append(lane)
    area = layers.token("drivable_area")
    segments = {road: _add_road(layers, road, lanes, area) for road, lanes in by_road.items()}
    _add_lanes(layers, roads, segments)
    layers.add(
        "drivable_area",
        area,
        polygon_tokens=[
            layers.polygon(("drivable", *lane.key), _outline([lane]))
            for lane in roads.lanes.values()
            if lane.kind in DRIVABLE
        ],
    )
    for number, corners in enumerate(roads.crossings):
        layers.add(
            "ped_crossing",
            layers.token("ped_crossing", number),
            polygon_token=layers.polygon(("ped_crossing", number), corners),
            road_segment_token=_nearest(corners, by_road, segments),
        )
    for number, line in enumerate(roads.lines):
        if line.kind in SEGMENT_TYPES:
            layer = "road_divider" if line.between_directions else "lane_divider"
            token, nodes = layers.line((layer, number), simplified(line.points))
            fields: dict[str, Any] = {"road_segment_token": None}
            if layer == "lane_divider":
                fields = {"lane_divider_segments": _typed(nodes, (line.kind, line.colour))}
            layers.add(layer, layers.token(layer, number), line_token=token, **fields)
    corner = np.concatenate([lane.centre for lane in roads.lanes.values()]).max(axis=0)
    return {
        **layers.rows,
        "arcline_path_3": {
            layers.token("lane", *lane.key): path_of(lane.centre)
            for lanes in by_road.values()
            for lane in lanes
        },
        "connectivity": _connectivity(layers, by_road),
        "canvas_edge": [float(np.ceil(max(value, 1.0))) for value in corner[:2]],
        "version": VERSION,
    }


class _Layers:
    """The rows of a map's layers, and nodes, lines and polygons that they are made of."""

    def __init__(self, town: str) -> None:
        self._town = town
        self.rows: dict[str, list[dict[str, Any]]] = {layer: [] for layer in LAYERS}

    def token(self, layer: str, *key: object) -> str:
        return token_of(layer, self._town, *key)

    def add(self, layer: str, token: str, **fields: Any) -> None:
        self.rows[layer].append({"token": token, **fields})

    def nodes(self, key: tuple[object, ...], points: Points) -> list[str]:
        tokens = [self.token("node", *key, number) for number in range(len(points))]
        for token, (x, y, _) in zip(tokens, points.tolist(), strict=True):
            self.add("node", token, x=round(x, 4), y=round(y, 4))
        return tokens

    def polygon(self, key: tuple[object, ...], outline: Points) -> str:
        token = self.token("polygon", *key)
        nodes = self.nodes(("polygon", *key), outline)
        self.add("polygon", token, exterior_node_tokens=nodes, holes=[])
        return token

    def line(self, key: tuple[object, ...], points: Points) -> tuple[str, list[str]]:
        token, nodes = self.token("line", *key), self.nodes(("line", *key), points)
        self.add("line", token, node_tokens=nodes)
        return token, nodes


def _add_road(layers: _Layers, road: int, lanes: Sequence[Lane], area: str) -> str:
    """Add a road and its two carriageways; return the road's token."""
    segment = layers.token("road_segment", road)
    layers.add(
        "road_segment",
        segment,
        polygon_token=layers.polygon(("road_segment", road), _outline(_across(lanes))),
        is_intersection=lanes[0].in_junction,
        drivable_area_token=area,
    )
    for forward in (True, False):
        own = [lane for lane in _across(lanes) if (lane.key[2] < 0) == forward]
        if own and not own[0].in_junction:
            layers.add(
                "road_block",
                layers.token("road_block", road, forward),
                polygon_token=layers.polygon(("road_block", road, forward), _outline(own)),
                from_edge_line_token=layers.line(("from", road, forward), _edge(own, 0))[0],
                to_edge_line_token=layers.line(("to", road, forward), _edge(own, -1))[0],
                road_segment_token=segment,
            )
    return segment


def _add_lanes(layers: _Layers, roads: RoadMap, segments: Mapping[int, str]) -> None:
    for lane in roads.lanes.values():
        token, outline = layers.token("lane", *lane.key), _outline([lane])
        forward = lane.key[2] < 0
        if lane.kind == "driving" and lane.in_junction:
            polygon = layers.polygon(("lane", *lane.key), outline)
            layers.add("lane_connector", token, polygon_token=polygon)
        elif lane.kind == "driving":
            _, left = layers.line(("left", *lane.key), simplified(lane.left))
            _, right = layers.line(("right", *lane.key), simplified(lane.right))
            layers.add(
                "lane",
                token,
                polygon_token=layers.polygon(("lane", *lane.key), outline),
                lane_type="CAR",
                from_edge_line_token=layers.line(("lane from", *lane.key), _edge([lane], 0))[0],
                to_edge_line_token=layers.line(("lane to", *lane.key), _edge([lane], -1))[0],
                left_lane_divider_segments=_typed(left, lane.left_look),
                right_lane_divider_segments=_typed(right, lane.right_look),
            )
        elif lane.kind == "sidewalk":
            polygon = layers.polygon(("walkway", *lane.key), outline)
            layers.add("walkway", layers.token("walkway", *lane.key), polygon_token=polygon)
        elif lane.kind == "parking":
            step = lane.centre[-1] - lane.centre[0]
            road = lane.key[0]
            layers.add(
                "carpark_area",
                layers.token("carpark_area", *lane.key),
                polygon_token=layers.polygon(("carpark_area", *lane.key), outline),
                orientation=float(np.arctan2(step[1], step[0])),
                road_block_token=layers.token("road_block", road, forward)
                if road in segments
                else None,
            )


def _connectivity(
    layers: _Layers, by_road: Mapping[int, Sequence[Lane]]
) -> dict[str, dict[str, list[str]]]:
    """Return lane -> the lanes that lead to it and those to which it leads, by their tokens."""
    lanes = {lane.key: lane for own in by_road.values() for lane in own}
    tokens = {key: layers.token("lane", *key) for key in lanes}
    found: dict[str, dict[str, list[str]]] = {
        token: {"incoming": [], "outgoing": []} for token in tokens.values()
    }
    for key, lane in lanes.items():
        for after in lane.successors:
            if after in tokens:
                found[tokens[key]]["outgoing"].append(tokens[after])
                found[tokens[after]]["incoming"].append(tokens[key])
    return found


def path_of(centre: Points) -> list[dict[str, Any]]:
    """Return a line as nuScenes' path of arcs and lines, of which only the lines have a length."""
    path = []
    places = simplified(centre)[:, :2]
    for begin, step in zip(places, np.diff(places, axis=0), strict=False):
        length = float(np.linalg.norm(step))
        if length < MIN_STEP_M:
            continue
        heading = float(np.arctan2(step[1], step[0]))
        path.append(
            {
                "start_pose": [*begin.tolist(), heading],
                "end_pose": [*(begin + step).tolist(), heading],
                "shape": "LSR",
                "radius": RADIUS_M,
                "segment_length": [0.0, length, 0.0],
            }
        )
    return path


def simplified(points: Points) -> Points:
    """Return the points (N, 3) of a line without those that it passes within SLACK_M.

    The algorithm is Ramer's, Douglas' and Peucker's.
    """
    kept = np.zeros(len(points), np.bool_)
    kept[[0, -1]] = True
    stretches = [(0, len(points) - 1)]
    while stretches:
        begin, end = stretches.pop()
        run = points[end, :2] - points[begin, :2]
        away = points[begin + 1 : end, :2] - points[begin, :2]
        length = np.linalg.norm(run)
        across = np.abs(away[:, 0] * run[1] - away[:, 1] * run[0])
        distances = across / length if length else np.linalg.norm(away, axis=1)
        if len(distances) and distances.max() > SLACK_M:
            middle = begin + 1 + int(distances.argmax())
            kept[middle] = True
            stretches += [(begin, middle), (middle, end)]
    return points[kept]


def _across(lanes: Iterable[Lane]) -> list[Lane]:
    """Return the lanes of a road's first section, from left to right along the road."""
    lanes = list(lanes)
    first = min(lane.key[1] for lane in lanes)
    return sorted((lane for lane in lanes if lane.key[1] == first), key=lambda one: -one.key[2])


def _outline(lanes: Sequence[Lane]) -> Points:
    """Return the outline of neighbouring lanes, from left to right along their road."""
    left, right = _sides(lanes)
    return np.concatenate([simplified(left), simplified(right)[::-1]])


def _edge(lanes: Sequence[Lane], end: int) -> Points:
    """Return the line across lanes of one direction at their beginning (0) or end (-1)."""
    left, right = (side[:: -1 if lanes[0].key[2] > 0 else 1] for side in _sides(lanes))
    return np.stack([left[end], right[end]])


def _sides(lanes: Sequence[Lane]) -> tuple[Points, Points]:
    """Return the left and the right border along the road; lanes above 0 run against it."""
    first, last = lanes[0], lanes[-1]
    left = first.right[::-1] if first.key[2] > 0 else first.left
    right = last.left[::-1] if last.key[2] > 0 else last.right
    return left, right


def _typed(nodes: Sequence[str], look: Look) -> list[dict[str, str]]:
    kind, colour = look
    word = SEGMENT_TYPES.get(kind)
    type_ = f"{word}_{colour.upper()}" if word else "NIL"
    return [{"node_token": node, "segment_type": type_} for node in nodes]


def _nearest(
    corners: Points, by_road: Mapping[int, Sequence[Lane]], segments: Mapping[int, str]
) -> str:
    """Return the token of the road that is nearest to a crossing's middle."""
    middle = corners.mean(axis=0)
    distances = {
        road: min(float(np.linalg.norm(lane.centre - middle, axis=1).min()) for lane in lanes)
        for road, lanes in by_road.items()
    }
    return segments[min(distances, key=distances.__getitem__)]
