import { expect, it } from "vitest";
import type { DType } from "./dtype.ts";
import { checkIndices, checkMatrix, checkPerHead, checkTensorType, writtenTensorRows } from "./device-checks.ts";
import { ShapeError, UnsupportedError, UsageError } from "./errors.ts";
import { elementCount } from "./shape.ts";

const tensor = (dtype: DType, ...shape: number[]) => ({ dtype, shape, rows: shape[0] ?? 1, columns: elementCount(shape.slice(1)) });

it("returns what fits", () => {
  const matrix = tensor("bf16", 3, 2, 4);
  expect(checkMatrix("x", matrix, ["f16", "bf16"], { columns: 8 })).toBe(matrix);
  expect(checkIndices("ids", tensor("i32", 5), 4).rows).toBe(5);
  expect(checkPerHead("found", tensor("i32", 2, 7, 3), { dtype: "i32", kvHeads: 2, rows: 5 })).toMatchObject({ capacity: 7, columns: 3 });
  expect(writtenTensorRows(matrix, new Uint16Array(16), 1)).toBe(2);
  expect(writtenTensorRows(tensor("f32", 3, 0), new Float32Array(0), 3)).toBe(0);
});

it.each<[string, () => unknown, new (...args: never[]) => Error, string]>([
  ["another type", () => checkMatrix("linear: x", tensor("i32", 2, 2), ["f16", "bf16"]), UsageError, "linear: x is i32; it must be f16 or bf16."],
  ["other rows", () => checkMatrix("linear: x", tensor("f32", 2, 4), ["f32"], { rows: 3 }), ShapeError, "has shape [2, 4]; it must hold [3, 4]."],
  ["other columns", () => checkMatrix("linear: x", tensor("f32", 2, 4), ["f32"], { columns: 5 }), ShapeError, "it must hold [2, 5]."],
  ["a short vector", () => checkIndices("embed: ids", tensor("i32", 3), 4), ShapeError, "embed: ids has 3 entries; 4 are needed."],
  ["a matrix for a vector", () => checkIndices("embed: ids", tensor("i32", 3, 2), 3), ShapeError, "it must hold [3, 1]."],
  ["too few rows a head", () => checkPerHead("found", tensor("f32", 2, 4, 3), { dtype: "f32", kvHeads: 2, rows: 5 }), ShapeError, "must be f32 [2, 5 or more, blocks]."],
  ["a flat tensor", () => checkPerHead("found", tensor("i32", 2, 12), { dtype: "i32", kvHeads: 2, rows: 4, columns: 3 }), ShapeError, "found is i32 [2, 12]; it must be i32 [2, 4 or more, 3]."],
  ["a quantised tensor", () => checkTensorType("q8_0"), UnsupportedError, "use neural.allocateWeight"],
  ["data of another type", () => writtenTensorRows(tensor("bf16", 2, 4), new Float32Array(4), 0), ShapeError, "takes Uint16Array data; Float32Array was given."],
  ["broken rows", () => writtenTensorRows(tensor("f32", 2, 4), new Float32Array(6), 0), ShapeError, "6 numbers at row 0 are not whole rows inside a tensor of [2, 4]."],
  ["rows beyond the end", () => writtenTensorRows(tensor("f32", 2, 4), new Float32Array(8), 1), ShapeError, "at row 1 are not whole rows"],
])("refuses %s", (_, check, type, message) => {
  expect(check).toThrow(type);
  expect(check).toThrow(message);
});
