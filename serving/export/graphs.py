"""Preprocessing and postprocessing around a network, as ONNX graphs in ONNX's text format.

Before: an image of any size, uint8 `[batch, height, width, 3]`, becomes the network's tensor as training made it. For a
classifier that is Pillow's resize: ONNX Runtime's antialiased Resize uses the same fixed-point weights, and with
`exclude_outside` also treats the edges alike. It goes over columns before rows; Pillow 13 goes over rows first where a
picture loses more than twice as many of them, hence the first of two resizes. What is left are single grey levels in a
pixel of a hundred or fewer, ties that float32 weights break otherwise than float64. For a detector it is OpenCV's
letterbox. After: a detector's boxes are suppressed and given in the image's own pixels.

Every image of a batch has the same size. Sizes are computed as in `serving.bundle.preprocess`: `side * long // short` is
Python's `int(side * long / short)`, and ONNX rounds half to even as Python does.
"""

from __future__ import annotations

import onnx
from onnx import parser

from serving.bundle.modelinfo import ModelInfo, Suppression
from serving.bundle.preprocess import Preprocess

OPSET, IR = 18, 10
_DOUBLE, _FLOAT, _INT64, _UINT8 = 11, 1, 7, 2
_HEAD = f'<ir_version: {IR}, opset_import: ["" : {OPSET}]>\n'

_FROM_IMAGE = "  chw = Transpose<perm=[0,3,1,2]>(images)\n"
_FROM_VALUES = f"""
  nought = Constant<value = float {{0.0}}>()
  most = Constant<value = float {{255.0}}>()
  bounded = Clip(pixel_values, nought, most)
  whole = Round(bounded)
  chw = Cast<to={_UINT8}>(whole)
"""
_SIZES = """
  shape = Shape(chw)
  at_sides = Constant<value_ints=[2,3]>()
  sides = Gather(shape, at_sides)
  at_batch = Constant<value_ints=[0]>()
  batch_size = Gather(shape, at_batch)
  three = Constant<value_ints=[3]>()
  lead = Concat<axis=0>(batch_size, three)
"""
_ROWS_FIRST = """
  loss = Sub(sides, scaled)
  place_0 = Constant<value_ints=[0]>()
  place_1 = Constant<value_ints=[1]>()
  rows_lost = Gather(loss, place_0)
  columns_lost = Gather(loss, place_1)
  naught = Constant<value_ints=[0]>()
  twice = Constant<value_ints=[2]>()
  double = Mul(columns_lost, twice)
  taller = Greater(rows_lost, double)
  shrinks = Greater(rows_lost, naught)
  same_width = Equal(columns_lost, naught)
  other_width = Not(same_width)
  could = And(taller, shrinks)
  rows_first = And(could, other_width)
  rows_now = Gather(sides, place_0)
  rows_then = Gather(scaled, place_0)
  rows = Where(rows_first, rows_then, rows_now)
  columns_now = Gather(sides, place_1)
  between = Concat<axis=0>(lead, rows, columns_now)
  halfway = If(rows_first) <
    then_branch = squeeze () => (uint8[batch,3,rows,width] fewer) {
      fewer = Resize<MODE, antialias=1, exclude_outside=1>(chw, , , between)
    },
    else_branch = leave () => (uint8[batch,3,height,width] as_it_is) { as_it_is = Identity(chw) }
  >
"""
_SHORTER = """
  shorter = ReduceMin<keepdims=1>(sides)
  stretched = Mul(resized_side, sides)
  scaled = Div(stretched, shorter)
"""
_BOTH = "  scaled = Concat<axis=0>(resized_side, resized_side)\n"
_CROP = f"""
  side = Constant<value_ints=[SIDE]>()
  resized_side = Constant<value_ints=[RESIZED]>()
SCALED
  target = Concat<axis=0>(lead, scaled)
{_ROWS_FIRST}
  resized = Resize<MODE, antialias=1, exclude_outside=1>(halfway, , , target)
  spare = Sub(scaled, side)
  spare_f = Cast<to={_FLOAT}>(spare)
  two = Constant<value = float[1] {{2.0}}>()
  halved = Div(spare_f, two)
  rounded = ROUNDED(halved)
  begin = Cast<to={_INT64}>(rounded)
  end = Add(begin, side)
  fitted = Slice(resized, begin, end, at_sides)
"""
_LETTERBOX = f"""
  side = Constant<value = double[1] {{SIDE.0}}>()
  sides_d = Cast<to={_DOUBLE}>(sides)
  ratios = Div(side, sides_d)
  ratio = ReduceMin<keepdims=1>(ratios)
  exact = Mul(sides_d, ratio)
  nearest = Round(exact)
  one = Constant<value = double[1] {{1.0}}>()
  scaled_d = Max(nearest, one)
  scaled = Cast<to={_INT64}>(scaled_d)
  target = Concat<axis=0>(lead, scaled)
  light = Cast<to={_FLOAT}>(chw)
  resized = Resize<mode="linear">(light, , , target)
  levels = Round(resized)
  spare = Sub(side, scaled_d)
  two = Constant<value = double[1] {{2.0}}>()
  margin = Div(spare, two)
  little = Constant<value = double[1] {{0.1}}>()
  before_x = Sub(margin, little)
  after_x = Add(margin, little)
  before = Round(before_x)
  after = Round(after_x)
  before_i = Cast<to={_INT64}>(before)
  after_i = Cast<to={_INT64}>(after)
  none = Constant<value_ints=[0,0]>()
  pads = Concat<axis=0>(none, before_i, none, after_i)
  grey = Constant<value = float {{114.0}}>()
  fitted = Pad(levels, pads, grey)
"""
_SCALE = f"""
  as_float = Cast<to={_FLOAT}>(fitted)
  full = Constant<value = float {{255.0}}>()
  unit = Div(as_float, full)
"""

_SUPPRESS = f"""
  from_0 = Constant<value_ints=[0]>()
  from_2 = Constant<value_ints=[2]>()
  from_4 = Constant<value_ints=[4]>()
  to_end = Constant<value_ints=[9223372036854775807]>()
  on_1 = Constant<value_ints=[1]>()
  on_2 = Constant<value_ints=[2]>()
  centre_t = Slice(predictions, from_0, from_2, on_1)
  extent_t = Slice(predictions, from_2, from_4, on_1)
  classes_t = Slice(predictions, from_4, to_end, on_1)
  half = Constant<value = float {{2.0}}>()
  reach_t = Div(extent_t, half)
  low_t = Sub(centre_t, reach_t)
  high_t = Add(centre_t, reach_t)
  corners_t = Concat<axis=1>(low_t, high_t)
  corners = Transpose<perm=[0,2,1]>(corners_t)
  best = ReduceMax<keepdims=1>(classes_t, on_1)
  kind = ArgMax<axis=1, keepdims=1>(classes_t)
  kind_f = Cast<to={_FLOAT}>(kind)
  kind_c = Transpose<perm=[0,2,1]>(kind_f)
  classes_shape = Shape<start=1, end=2>(classes_t)
  class_count = Squeeze(classes_shape)
  first = Constant<value = int64 {{0}}>()
  step = Constant<value = int64 {{1}}>()
  every_flat = Range(first, class_count, step)
  every = Unsqueeze(every_flat, on_1)
  best_there = Equal(kind, every)
  no_score = Constant<value = float {{0.0}}>()
  alone = Where(best_there, classes_t, no_score)
  most = Constant<value_ints=[MOST]>()
  iou = Constant<value = float {{IOU}}>()
  least = Constant<value = float {{SCORE}}>()
  chosen = NonMaxSuppression(corners, alone, most, iou, least)
  places = Constant<value_ints=[0,2]>()
  where = Gather<axis=1>(chosen, places)
  best_flat = Squeeze(best, on_1)
  found = GatherND(best_flat, where)
  nothing = Sub(best_flat, best_flat)
  kept = ScatterND(nothing, where, found)
  kept_shape = Shape(kept)
  boxes_there = Gather(kept_shape, on_1)
  rows = Min(most, boxes_there)
  score, order = TopK<axis=1>(kept, rows)
  score_c = Unsqueeze(score, on_2)
  order_c = Unsqueeze(order, on_2)
  kind_row = GatherElements<axis=1>(kind_c, order_c)
  four = Constant<value_ints=[1,1,4]>()
  order_4 = Expand(order_c, four)
  box = GatherElements<axis=1>(corners, order_4)
"""
_TO_IMAGE = f"""
  ratio_f = Cast<to={_FLOAT}>(ratio)
  before_f = Cast<to={_FLOAT}>(before)
  sides_f = Cast<to={_FLOAT}>(sides_of)
  turned = Constant<value_ints=[1,0,1,0]>()
  corner = Gather(before_f, turned)
  limit = Gather(sides_f, turned)
  moved = Sub(box, corner)
  in_image = Div(moved, ratio_f)
  zero = Constant<value = float {{0.0}}>()
  positive = Max(in_image, zero)
  placed = Min(positive, limit)
"""
_ROWS = """
  raw = Concat<axis=2>(placed, score_c, kind_row)
  bottom = Constant<value = float {0.0}>()
  real = Greater(score_c, bottom)
  detections = Where(real, raw, bottom)
"""


def image_graph(preprocess: Preprocess, *, from_values: bool = False) -> onnx.ModelProto:
    """uint8 `images` `[batch, height, width, 3]` → float32 `tensor`, as the preprocessing says.

    `from_values`: float32 `pixel_values` `[batch, 3, height, width]` in 0..255 instead, as Transformers.js hands over.
    """
    given = "float[batch,3,height,width] pixel_values" if from_values else "uint8[batch,height,width,3] images"
    side, letterbox = preprocess.size, preprocess.letterboxes
    shape = f"batch,3,{side},{side}" if preprocess.layout == "NCHW" else f"batch,{side},{side},3"
    turn = "Identity(unit)" if preprocess.layout == "NCHW" else "Transpose<perm=[0,2,3,1]>(unit)"
    extra = ", double[1] ratio, double[2] before, int64[2] sides_of" if letterbox else ""
    body = (_FROM_VALUES if from_values else _FROM_IMAGE) + _SIZES
    body += (_LETTERBOX if letterbox else _crop(preprocess)).replace("SIDE", str(side)) + _SCALE + f"  tensor = {turn}\n"
    body += "  sides_of = Identity(sides)\n" if letterbox else ""
    return parser.parse_model(f"{_HEAD}image ({given}) => (float[{shape}] tensor{extra}) {{{body}}}")


def _crop(preprocess: Preprocess) -> str:
    """Resize and crop; Pillow's cubic curve has the coefficient -1/2."""
    mode = 'mode="cubic", cubic_coeff_a=-0.5' if preprocess.bicubic else 'mode="linear"'
    body = _CROP.replace("SCALED", _BOTH if preprocess.squeezes else _SHORTER)
    body = body.replace("ROUNDED", "Floor" if preprocess.crop.endswith("down") else "Round")
    return body.replace("RESIZED", str(preprocess.side)).replace("MODE", mode)


def suppression_graph(rule: Suppression, *, to_image: bool) -> onnx.ModelProto:
    """`predictions` `[batch, 4 + classes, boxes]` → `detections` `[batch, at most 300, 6]`, best first.

    A row is x1, y1, x2, y2, score, class; rows of zeros fill up. Pixels of the image where `to_image`, else of the
    network's input. Only a box's best class counts, and boxes of different classes do not suppress each other, as
    Ultralytics' predict does it.
    """
    given = "float[batch,channels,boxes] predictions"
    given += ", double[1] ratio, double[2] before, int64[2] sides_of" if to_image else ""
    body = _SUPPRESS.replace("MOST", str(rule.most)).replace("IOU", str(rule.iou)).replace("SCORE", str(rule.score))
    body += (_TO_IMAGE if to_image else "  placed = Identity(box)\n") + _ROWS
    return parser.parse_model(f"{_HEAD}suppress ({given}) => (float[batch,rows,6] detections) {{{body}}}")


def logits_graph() -> onnx.ModelProto:
    """`probabilities` → `logits` whose softmax they are, for clients that apply one."""
    body = """
  least = Constant<value = float {1e-30}>()
  positive = Max(probabilities, least)
  logits = Log(positive)
"""
    given = "float[batch,classes] probabilities"
    return parser.parse_model(f"{_HEAD}logits ({given}) => (float[batch,classes] logits) {{{body}}}")


def assemble(core: onnx.ModelProto, info: ModelInfo, *, shape: str) -> onnx.ModelProto:
    """A network with its surroundings; `shape` is `image`, `tensor` or `values` (Transformers.js: pixels in, logits out)."""
    model = core
    if shape != "tensor":
        before = image_graph(info.preprocess, from_values=shape == "values")
        keep = [output.name for output in before.graph.output if output.name != "tensor"]
        model = _join(before, model, [("tensor", model.graph.input[0].name)], keep)
    if info.task == "detect":
        after = suppression_graph(info.suppression, to_image=shape != "tensor")
        model = _join(model, after, [(value.name, value.name) for value in after.graph.input], [])
    elif shape == "values":
        model = _join(model, logits_graph(), [("probabilities", "probabilities")], [])
    return model


def _join(first: onnx.ModelProto, second: onnx.ModelProto, ties: list[tuple[str, str]], keep: list[str]) -> onnx.ModelProto:
    """Two graphs as one. Values inside the first are renamed so that no two have one name."""
    ends = {value.name for value in (*first.graph.input, *first.graph.output)}
    first = _inner_names(first, ends, "a_")
    second = _inner_names(second, {value.name for value in (*second.graph.input, *second.graph.output)}, "z_")
    outputs = [value.name for value in second.graph.output] + keep
    return onnx.compose.merge_models(first, second, io_map=ties, outputs=outputs)


def _inner_names(model: onnx.ModelProto, ends: set[str], prefix: str) -> onnx.ModelProto:
    """A copy in which every value but the graph's ends starts with `prefix`."""
    renamed = onnx.ModelProto()
    renamed.CopyFrom(model)

    def name(old: str) -> str:
        return old if not old or old in ends else prefix + old

    def rename(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            node.name = prefix + node.name if node.name else ""
            node.input[:] = [name(value_name) for value_name in node.input]
            node.output[:] = [name(value_name) for value_name in node.output]
            for attribute in node.attribute:
                for inner in (attribute.g, *attribute.graphs):
                    rename(inner)
                    for value in (*inner.input, *inner.output):
                        value.name = name(value.name)
        for value in (*graph.initializer, *graph.value_info):
            value.name = name(value.name)

    rename(renamed.graph)
    return renamed
