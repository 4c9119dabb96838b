/** Products that take a norm or an addition along, where a backend has them. */
import { random } from "@infllm/tensor";
import type { FusedProducts, WeightMatrix } from "@infllm/tensor";
import type { Checks } from "../checks.ts";
import type { Device } from "../device.ts";
import { addScaled, linear, rmsNorm, swiglu } from "../maths.ts";
import { testWeight } from "../test-weights.ts";
import { allRoundedTo, expectAccurate, float64, roundTo } from "../tolerance.ts";
import type { Precision } from "../tolerance.ts";

const epsilon = 1e-5;
/** [outputs, columns]: one tile, several with several units, and columns that must be shared out otherwise. */
const shapes = [
  [32, 256],
  [96, 768],
  [32, 8192],
] as const;

export function fusedProductCases(checks: Checks): void {
  const { neural, capabilities } = checks.backend;
  if (neural?.fused === undefined) return;
  checks.group("fused products", () => {
    for (const dtype of capabilities.weights) {
      checks.check(dtype, async (device) => {
        for (const rows of [1, 2, 3]) {
          for (const [outputs, columns] of shapes) await checkFused(device, dtype, rows, outputs, columns);
        }
      });
    }
  });
}

interface Case {
  readonly device: Device;
  readonly fused: FusedProducts;
  readonly rows: number;
  readonly outputs: number;
  readonly columns: number;
  readonly weight: WeightMatrix;
  readonly values: ArrayLike<number>;
  readonly x: Float32Array;
  readonly what: string;
}

async function checkFused(device: Device, dtype: Parameters<typeof testWeight>[0], rows: number, outputs: number, columns: number): Promise<void> {
  const numbers = random(rows + columns);
  const { data, values } = testWeight(dtype, outputs, columns, numbers);
  const weight = device.weight(dtype, outputs, columns, data);
  const { fused } = device.neural;
  if (fused === undefined || !fused.suits(weight, rows)) return;
  const x = device.asActivations(numbers.normals(rows * columns, 3));
  const one = { device, fused, rows, outputs, columns, weight, values, x, what: `${rows} rows × [${outputs}, ${columns}]` };
  await checkNormLinear(one, numbers);
  await checkNormGated(one, numbers);
  await checkAdded(one, numbers);
}

/** The product of normed rows, which are not rounded. */
function normed({ x, values, rows, columns, device }: Case, gains: Float32Array, bias: Float32Array | undefined, precision: Precision) {
  const exact = precision === float64;
  const rounded = exact ? values : allRoundedTo(device.activation, values);
  const { values: input } = rmsNorm(x, gains, epsilon, { ...precision, store: precision.step });
  return linear(input, rounded, bias, rows, columns, precision);
}

async function checkNormLinear(one: Case, numbers: ReturnType<typeof random>): Promise<void> {
  const { device, fused, rows, outputs, columns, weight, x, what } = one;
  const [gains, bias] = [numbers.normals(columns), numbers.normals(outputs)];
  const norm = { weight: device.tensor("f32", [columns], gains), epsilon };
  for (const type of [device.activation, "f32"] as const) {
    for (const given of [undefined, bias]) {
      const out = device.output(rows, outputs, type);
      fused.normLinear({ x: device.input(x, columns), norm, weight, out: out.tensor, ...(given && { bias: device.tensor("f32", [outputs], given) }) });
      expectAccurate(`normLinear, ${what}, ${type}`, await out.read(), type, (precision) => normed(one, gains, given, precision));
    }
  }
}

async function checkNormGated(one: Case, numbers: ReturnType<typeof random>): Promise<void> {
  const { device, fused, rows, outputs, columns, weight, x, what } = one;
  const gains = numbers.normals(columns);
  const norm = { weight: device.tensor("f32", [columns], gains), epsilon };
  const [both, out] = [device.output(rows, outputs), device.output(rows, outputs / 2)];
  fused.normLinear({ x: device.input(x, columns), norm, weight, out: both.tensor });
  fused.normGatedLinear({ x: device.input(x, columns), norm, weight, out: out.tensor });
  const projections = await both.read();
  expectAccurate(`normGatedLinear, ${what}`, await out.read(), device.activation, (precision) => {
    const { values, magnitude } = swiglu(projections, outputs / 2, precision);
    // Sums in another order may round the gate and its factor to the next number.
    return { values, magnitude: 3 * magnitude };
  });
}

async function checkAdded(one: Case, numbers: ReturnType<typeof random>): Promise<void> {
  const { device, fused, rows, outputs, columns, weight, values, x, what } = one;
  const scale = 0.25;
  const before = device.asActivations(numbers.normals(rows * outputs));
  const bias = numbers.normals(outputs);
  for (const given of [undefined, bias]) {
    const stream = device.inout(before, outputs);
    fused.addLinear({ x: device.input(x, columns), weight, out: stream.tensor, scale, ...(given && { bias: device.tensor("f32", [outputs], given) }) });
    expectAccurate(`addLinear, ${what}`, await stream.read(), device.activation, (precision) => {
      const exact = precision === float64;
      const rounding: Precision = { step: precision.step, store: (value) => (exact ? value : roundTo(device.activation, value)) };
      const delta = linear(x, exact ? values : allRoundedTo(device.activation, values), given, rows, columns, rounding);
      const { values: sums, magnitude } = addScaled(before, delta.values, scale, precision);
      return { values: sums, magnitude: magnitude + scale * delta.magnitude };
    });
  }
}
