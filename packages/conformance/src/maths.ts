/** The neural ops and attention over token lists, in any precision: what backends are held against. */
import { mustBe } from "./compare.ts";
import type { Precision, Result } from "./tolerance.ts";

type Numbers = ArrayLike<number>;

/** `rows` results of `width`, one row at a time; the magnitude is the largest that a row reports. */
export function byRow(rows: number, width: number, row: (index: number, out: Float64Array) => number): Result {
  const values = new Float64Array(rows * width);
  let magnitude = 0;
  for (let r = 0; r < rows; r++) magnitude = Math.max(magnitude, row(r, values.subarray(r * width, (r + 1) * width)));
  return { values, magnitude };
}

/** Σ a[i] · b[i], and the same of absolute values. */
function dot(a: Numbers, aFrom: number, b: Numbers, bFrom: number, length: number, step: Precision["step"]): [sum: number, size: number] {
  let sum = 0;
  let size = 0;
  for (let i = 0; i < length; i++) {
    const product = step((a[aFrom + i] as number) * (b[bFrom + i] as number));
    sum = step(sum + product);
    size += Math.abs(product);
  }
  return [sum, size];
}

/** x `[rows, columns]` · w `[outputs, columns]`ᵀ + bias */
export function linear(x: Numbers, w: Numbers, bias: Numbers | undefined, rows: number, columns: number, { step, store }: Precision): Result {
  const outputs = w.length / columns;
  return byRow(rows, outputs, (r, out) => {
    let magnitude = 0;
    for (let o = 0; o < outputs; o++) {
      const [sum, size] = dot(x, r * columns, w, o * columns, columns, step);
      out[o] = store(bias ? step(sum + mustBe(bias[o])) : sum);
      magnitude = Math.max(magnitude, size + Math.abs(bias ? mustBe(bias[o]) : 0));
    }
    return magnitude;
  });
}

/** x + scale · delta, stored */
export function addScaled(x: Numbers, delta: Numbers, scale: number, { step, store }: Precision): Result {
  return byRow(1, x.length, (_, out) => {
    let magnitude = 0;
    for (let i = 0; i < x.length; i++) {
      const added = step(scale * mustBe(delta[i]));
      out[i] = store(step(mustBe(x[i]) + added));
      magnitude = Math.max(magnitude, Math.abs(mustBe(x[i])) + Math.abs(added));
    }
    return magnitude;
  });
}

export function rmsNorm(x: Numbers, weight: Numbers, epsilon: number, { step, store }: Precision): Result {
  const width = weight.length;
  return byRow(x.length / width, width, (r, out) => {
    const [squares] = dot(x, r * width, x, r * width, width, step);
    const inverse = step(1 / step(Math.sqrt(step(step(squares / width) + epsilon))));
    let magnitude = 0;
    for (let i = 0; i < width; i++) {
      out[i] = store(step(step(mustBe(x[r * width + i]) * inverse) * mustBe(weight[i])));
      magnitude = Math.max(magnitude, Math.abs(mustBe(out[i])));
    }
    return magnitude;
  });
}

export interface Rotation {
  readonly heads: number;
  readonly headDim: number;
  readonly positions: Numbers;
  readonly frequencies: Float32Array;
  readonly amplitude: number;
}

/** Rotate-half with angles that are f32 products, whatever the precision of the rest. */
export function rotate(x: Numbers, rotation: Rotation, { step, store }: Precision): Result {
  const { heads, headDim, positions, frequencies, amplitude } = rotation;
  const width = heads * headDim;
  const half = frequencies.length;
  return byRow(x.length / width, width, (r, out) => {
    let magnitude = 0;
    for (let i = 0; i < width; i++) {
      const value = mustBe(x[r * width + i]);
      const d = i % headDim;
      if (d >= 2 * half) {
        out[i] = store(value);
        continue;
      }
      const angle = Math.fround(mustBe(frequencies[d % half]) * mustBe(positions[r]));
      const cos = step(amplitude * step(Math.cos(angle)));
      const sin = step(amplitude * step(Math.sin(angle)));
      const other = mustBe(x[r * width + (d < half ? i + half : i - half)]);
      out[i] = store(step(step(value * cos) + step((d < half ? -other : other) * sin)));
      magnitude = Math.max(magnitude, (Math.abs(value) + Math.abs(other)) * amplitude);
    }
    return magnitude;
  });
}

/** gateUp `[rows, 2 · width]` */
export function swiglu(gateUp: Numbers, width: number, { step, store }: Precision): Result {
  return byRow(gateUp.length / (2 * width), width, (r, out) => {
    let magnitude = 0;
    for (let i = 0; i < width; i++) {
      const gate = mustBe(gateUp[r * 2 * width + i]);
      const up = mustBe(gateUp[r * 2 * width + width + i]);
      const sigmoid = step(1 / step(1 + step(Math.exp(-gate))));
      out[i] = store(step(step(gate * sigmoid) * up));
      // exp(−gate) carries the rounding of its argument, hence the factor 1 + |gate|.
      magnitude = Math.max(magnitude, Math.abs(mustBe(out[i])) * (1 + Math.abs(gate)));
    }
    return magnitude;
  });
}

export interface AttentionMaths {
  /** `[rows, heads, headDim]` */
  readonly q: Numbers;
  /** `[length, kvHeads, headDim]` */
  readonly k: Numbers;
  readonly v: Numbers;
  readonly rows: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly scale: number;
  /** The tokens that a row sees through a KV head. */
  tokens(row: number, kvHead: number): Int32Array;
}

/** Softmax attention; softmax weights are stored before they multiply values, as matrix units need it. */
export function attention(input: AttentionMaths, { step, store }: Precision): Result {
  const { q, k, v, rows, heads, kvHeads, headDim, scale } = input;
  return byRow(rows * heads, headDim, (index, out) => {
    const kvHead = Math.floor((index % heads) / (heads / kvHeads));
    const tokens = input.tokens(Math.floor(index / heads), kvHead);
    let largestLogit = 0;
    const logits = Float64Array.from(tokens, (token) => {
      const [sum, size] = dot(q, index * headDim, k, (token * kvHeads + kvHead) * headDim, headDim, step);
      largestLogit = Math.max(largestLogit, size * scale);
      return step(sum * scale);
    });
    const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
    let total = 0;
    let largestValue = 0;
    tokens.forEach((token, i) => {
      const weight = store(step(Math.exp(step(mustBe(logits[i]) - largest))));
      total = step(total + weight);
      const from = (token * kvHeads + kvHead) * headDim;
      for (let d = 0; d < headDim; d++) {
        const value = v[from + d] as number;
        out[d] = step((out[d] as number) + step(weight * value));
        largestValue = Math.max(largestValue, Math.abs(value));
      }
    });
    for (let d = 0; d < headDim; d++) out[d] = store(step(mustBe(out[d]) / total));
    return largestValue * (1 + largestLogit);
  });
}
