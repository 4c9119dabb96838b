/** Reads and checks the tensors of one attention layer. */
import { FormatError, formatShape, hostF32, ShapeError, UnsupportedError, type SafetensorsFile } from "@infllm/tensor";

/** f32, row-major. */
export interface LayerInputs {
  /** `[qLength, heads, headDim]`: the last `qLength` positions. */
  readonly q: Float32Array;
  /** `[kvLength, kvHeads, headDim]`, after RoPE. */
  readonly k: Float32Array;
  readonly v: Float32Array;
  readonly qLength: number;
  readonly kvLength: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

const layouts = {
  q: "[q_length, heads, head_dim]",
  k: "[kv_length, kv_heads, head_dim]",
  v: "[kv_length, kv_heads, head_dim]",
} as const;

type InputName = keyof typeof layouts;

/**
 * Everything is checked on the header before any data is read.
 * @throws NotAvailableError (a missing tensor), UnsupportedError (dtype), ShapeError, FormatError (NaN or infinity)
 */
export async function readLayerInputs(file: SafetensorsFile): Promise<LayerInputs> {
  const [qLength, heads, headDim] = checkedShape(file, "q");
  const [kvLength, kvHeads, keyDim] = checkedShape(file, "k");
  const vShape = checkedShape(file, "v");
  const kShape = [kvLength, kvHeads, keyDim];
  const refuse = (problem: string): never => {
    throw new ShapeError(`${file.name}: ${problem}`);
  };
  if (formatShape(vShape) !== formatShape(kShape)) {
    refuse(`v has shape ${formatShape(vShape)} and k ${formatShape(kShape)}; they must be equal.`);
  }
  if (keyDim !== headDim) refuse(`q has head_dim ${headDim} and k ${keyDim}; they must be equal.`);
  if (heads % kvHeads !== 0) {
    refuse(`${heads} query heads do not divide among ${kvHeads} KV heads; heads must be a multiple of kv_heads.`);
  }
  if (qLength > kvLength) {
    refuse(`q has ${qLength} positions and k ${kvLength}; the queries are the last q_length positions of the keys.`);
  }
  const q = await finiteValues(file, "q");
  const k = await finiteValues(file, "k");
  const v = await finiteValues(file, "v");
  return { q, k, v, qLength, kvLength, heads, kvHeads, headDim };
}

function checkedShape(file: SafetensorsFile, name: InputName): readonly [number, number, number] {
  const entry = file.tensors.get(name) ?? file.unreadable.get(name);
  if (entry === undefined) {
    const present = [...file.tensors.keys(), ...file.unreadable.keys()].slice(0, 8).join(", ") || "none";
    throw new FormatError(`${file.name} has no tensor "${name}"; q, k and v are needed, and it has: ${present}.`);
  }
  const dtype = "dtype" in entry ? entry.dtype.toUpperCase() : entry.typeName;
  if (!["F32", "F16", "BF16"].includes(dtype)) {
    throw new UnsupportedError(`${file.name}: ${name} is ${dtype}; F32, F16 and BF16 are read. Convert it first.`);
  }
  const [first, second, third] = entry.shape;
  if (entry.shape.length !== 3 || first === undefined || second === undefined || third === undefined) {
    throw new ShapeError(`${file.name}: ${name} has shape ${formatShape(entry.shape)}; ${layouts[name]} is needed.`);
  }
  if (first * second * third === 0) {
    throw new ShapeError(`${file.name}: ${name} has shape ${formatShape(entry.shape)}; no axis may be 0.`);
  }
  return [first, second, third];
}

/** A NaN or an infinity would spread to whole rows and leave nothing to compare, so it is refused where it stands. */
async function finiteValues(file: SafetensorsFile, name: InputName): Promise<Float32Array> {
  const tensor = await file.tensor(name);
  const values = hostF32(tensor);
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at === -1) return values;
  const [, columns = 1, depth = 1] = tensor.shape;
  const index = [Math.floor(at / (columns * depth)), Math.floor(at / depth) % columns, at % depth];
  throw new FormatError(`${file.name}: ${name} holds ${values[at]} at ${formatShape(index)}; all numbers must be finite.`);
}
