"""Windows a second of the autoencoder on LiteRT's XNNPACK, int8, one thread: litert.py BATCH..., BENCH_MILLISECONDS for each batch.

Writes the model as a flatbuffer by hand (schema.fbs of TensorFlow Lite; field numbers in the comments), so that no
TensorFlow is needed. Weights are drawn; their values do not matter for speed. Called by `cargo xtask bench host`.
"""

import json
import os
import sys
import time

import flatbuffers
import numpy as np
from ai_edge_litert.interpreter import Interpreter

WIDTHS = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
INT8, INT32, FULLY_CONNECTED, OPTIONS, RELU = 9, 2, 9, 8, 1


def table(builder, fields):
    """A table from (slot, kind, value)."""
    builder.StartObject(1 + max(slot for slot, _, _ in fields))
    for slot, kind, value in fields:
        {
            "offset": lambda: builder.PrependUOffsetTRelativeSlot(slot, value, 0),
            "int8": lambda: builder.PrependInt8Slot(slot, value, 0),
            "uint8": lambda: builder.PrependUint8Slot(slot, value, 0),
            "int32": lambda: builder.PrependInt32Slot(slot, value, 0),
            "uint32": lambda: builder.PrependUint32Slot(slot, value, 0),
        }[kind]()
    return builder.EndObject()


def offsets(builder, items):
    builder.StartVector(4, len(items), 4)
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)
    return builder.EndVector()


def model(batch):
    builder = flatbuffers.Builder(1 << 20)
    random = np.random.default_rng(1)
    vector = lambda values, kind: builder.CreateNumpyVector(np.asarray(values, dtype=kind))
    # Buffer: data 0. The first one is empty.
    buffers = [table(builder, [(0, "offset", vector([], np.uint8))])]
    tensors, operators = [], []

    def tensor(shape, kind, scales, zero_point, data=None):
        # Quantization: scale 2, zero point 3, dimension 6 (0). Tensor: shape 0, type 1, buffer 2, quantization 4.
        buffer = 0
        if data is not None:
            buffer = len(buffers)
            buffers.append(table(builder, [(0, "offset", vector(data.view(np.uint8).ravel(), np.uint8))]))
        scale = vector(scales, np.float32)
        points = vector([zero_point] * len(scales), np.int64)
        quantization = table(builder, [(2, "offset", scale), (3, "offset", points)])
        shape = vector(shape, np.int32)
        tensors.append(
            table(
                builder,
                [(0, "offset", shape), (1, "int8", kind), (2, "uint32", buffer), (4, "offset", quantization)],
            )
        )
        return len(tensors) - 1

    x, scale = tensor([batch, WIDTHS[0]], INT8, [0.05], 3), 0.05
    first = x
    for inputs, outputs in zip(WIDTHS, WIDTHS[1:]):
        weights = random.integers(-127, 128, (outputs, inputs), dtype=np.int8)
        scales = random.uniform(0.5, 1.0, outputs) * 0.01 / np.sqrt(inputs)
        bias = random.integers(-2000, 2000, outputs, dtype=np.int32)
        w = tensor([outputs, inputs], INT8, scales, 0, weights)
        b = tensor([outputs], INT32, scales * scale, 0, bias)
        relu = outputs == 128
        y = tensor([batch, outputs], INT8, [0.05], -128 if relu else 0)
        # FullyConnectedOptions: activation 0. Operator: code 0, inputs 1, outputs 2, options' type 3, options 4.
        options = table(builder, [(0, "int8", RELU if relu else 0)])
        ins, outs = vector([x, w, b], np.int32), vector([y], np.int32)
        operators.append(
            table(builder, [(1, "offset", ins), (2, "offset", outs), (3, "uint8", OPTIONS), (4, "offset", options)])
        )
        x, scale = y, 0.05
    # SubGraph: tensors 0, inputs 1, outputs 2, operators 3. Code: old number 0, version 2, number 3.
    graph = table(
        builder,
        [
            (0, "offset", offsets(builder, tensors)),
            (1, "offset", vector([first], np.int32)),
            (2, "offset", vector([x], np.int32)),
            (3, "offset", offsets(builder, operators)),
        ],
    )
    # Version 4 of the operator: per-channel int8 weights.
    code = table(builder, [(0, "int8", FULLY_CONNECTED), (2, "int32", 4), (3, "int32", FULLY_CONNECTED)])
    # Model: version 0, codes 1, graphs 2, buffers 4.
    codes, graphs, all_buffers = (offsets(builder, items) for items in ([code], [graph], buffers))
    root = table(
        builder,
        [(0, "uint32", 3), (1, "offset", codes), (2, "offset", graphs), (4, "offset", all_buffers)],
    )
    builder.Finish(root, file_identifier=b"TFL3")
    return bytes(builder.Output())


for batch in map(int, sys.argv[1:]):
    # XNNPACK is the default delegate.
    interpreter = Interpreter(model_content=model(batch), num_threads=1)
    interpreter.allocate_tensors()
    index = interpreter.get_input_details()[0]["index"]
    data = np.random.default_rng(2).integers(-128, 128, (batch, WIDTHS[0]), dtype=np.int8)
    interpreter.set_tensor(index, data)
    best, repeats = float("inf"), -(-64 // batch)
    end = time.perf_counter() + int(os.environ.get("BENCH_MILLISECONDS", "1000")) / 1000
    while best == float("inf") or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(repeats):
            interpreter.invoke()
        best = min(best, (time.perf_counter() - start) / repeats)
    row = {"engine": "xnnpack", "model": "ad", "batch": batch, "windows_per_second": round(batch / best)}
    print(json.dumps(row), flush=True)
