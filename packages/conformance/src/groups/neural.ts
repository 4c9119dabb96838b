/** The ops of a layer outside attention, on sizes that straddle the edges of tiles. */
import { random } from "@infllm/tensor";
import type { Checks } from "../checks.ts";
import { expectSame } from "../compare.ts";
import type { Device } from "../device.ts";
import { addScaled, linear, rmsNorm, rotate, swiglu } from "../maths.ts";
import { testColumns, testWeight } from "../test-weights.ts";
import { allRoundedTo, expectAccurate, float64, roundTo } from "../tolerance.ts";
import { fusedProductCases } from "./fused-products.ts";

const edges = [1, 7, 8, 9, 63, 64, 65] as const;

export function neuralCases(checks: Checks): void {
  embedCases(checks);
  linearCases(checks);
  normCases(checks);
  rotateCases(checks);
  swigluCases(checks);
  if (checks.backend.neural?.gatedLinear !== undefined) gatedLinearCases(checks);
  fusedProductCases(checks);
}

function embedCases(checks: Checks): void {
  checks.group("embed", () => {
    for (const dtype of checks.backend.capabilities.weights) {
      checks.check(dtype, async (device) => {
        for (const columns of testColumns(dtype)) {
          const { data, values } = testWeight(dtype, 11, columns, random(columns));
          const table = device.weight(dtype, 11, columns, data);
          const ids = [10, 0, 3, 3, 7, 1, 10];
          const out = device.output(ids.length, columns);
          device.neural.embed({ ids: device.tensor("i32", [ids.length], ids), table, scale: 1.5, out: out.tensor });
          const picked = ids.flatMap((id) => Array.from(values.subarray(id * columns, (id + 1) * columns)));
          expectAccurate(`${columns} columns`, await out.read(), device.activation, ({ step, store }) => {
            const scaled = Float64Array.from(picked, (value) => store(step(value * 1.5)));
            return { values: scaled, magnitude: scaled.reduce((a, b) => Math.max(a, Math.abs(b)), 0) };
          });
        }
      });
    }
  });
}

async function checkLinear(device: Device, dtype: Parameters<typeof testWeight>[0], rows: number, outputs: number, columns: number, seed: number): Promise<void> {
  const numbers = random(seed);
  const { data, values } = testWeight(dtype, outputs, columns, numbers);
  const weight = device.weight(dtype, outputs, columns, data);
  const x = device.asActivations(numbers.normals(rows * columns));
  const bias = seed % 2 === 0 ? numbers.normals(outputs) : undefined;
  const types = device.activation === "f32" ? (["f32"] as const) : ([device.activation, "f32"] as const);
  for (const type of types) {
    const out = device.output(rows, outputs, type);
    const given = { x: device.input(x, columns), weight, out: out.tensor };
    device.neural.linear(bias ? { ...given, bias: device.tensor("f32", [outputs], bias) } : given);
    const what = `[${rows}, ${columns}] × [${outputs}, ${columns}]ᵀ${bias ? " + bias" : ""}`;
    // A backend may multiply weights rounded to its activation type, as tensor cores do, whatever they are stored as.
    const rounded = allRoundedTo(device.activation, values);
    expectAccurate(what, await out.read(), type, (precision) =>
      linear(x, precision === float64 ? values : rounded, bias, rows, columns, precision),
    );
  }
}

function linearCases(checks: Checks): void {
  checks.group("linear", () => {
    for (const dtype of checks.backend.capabilities.weights) {
      checks.check(`${dtype}: columns`, async (device) => {
        for (const columns of testColumns(dtype)) {
          await checkLinear(device, dtype, 3, 10, columns, columns);
          await checkLinear(device, dtype, 1, 10, columns, columns + 1);
        }
      });
      checks.check(`${dtype}: rows and outputs`, async (device) => {
        const columns = testColumns(dtype)[0] ?? 1;
        for (const [i, rows] of edges.entries()) {
          for (const outputs of edges) await checkLinear(device, dtype, rows, outputs, Math.max(columns, 2), i + outputs);
        }
      });
    }
    checks.check("a large product", (device) => checkLinear(device, "f32", 67, 131, 515, 4));
    checks.check("one row, many columns", (device) => checkLinear(device, "f32", 1, 37, 2051, 3));
  });
}

function normCases(checks: Checks): void {
  checks.group("rmsNorm", () => {
    for (const width of edges) {
      checks.check(`width ${width}`, async (device) => {
        for (const rows of [1, 5, 17]) {
          const numbers = random(width + rows);
          const x = device.asActivations(numbers.normals(rows * width, 3));
          const weight = numbers.normals(width);
          const out = device.output(rows, width);
          device.neural.rmsNorm({ x: device.input(x, width), weight: device.tensor("f32", [width], weight), epsilon: 1e-5, out: out.tensor });
          expectAccurate(`${rows} rows`, await out.read(), device.activation, (precision) => rmsNorm(x, weight, 1e-5, precision));
        }
      });
    }
    checks.check("adds the residual first, in place", async (device) => {
      const [rows, width, scale] = [9, 65, 0.25];
      const numbers = random(5);
      const [x, delta] = [device.asActivations(numbers.normals(rows * width)), device.asActivations(numbers.normals(rows * width))];
      const weight = numbers.normals(width);
      const [stream, out] = [device.inout(x, width), device.output(rows, width)];
      const residual = { delta: device.input(delta, width), scale };
      device.neural.rmsNorm({ x: stream.tensor, residual, weight: device.tensor("f32", [width], weight), epsilon: 1e-6, out: out.tensor });
      const sum = await stream.read();
      expectAccurate("x", sum, device.activation, (precision) => addScaled(x, delta, scale, precision));
      expectAccurate("out", await out.read(), device.activation, (precision) => rmsNorm(sum, weight, 1e-6, precision));
    });
    checks.check("a row of zeros stays finite", async (device) => {
      const out = device.output(2, 8);
      device.neural.rmsNorm({ x: device.input(new Float32Array(16), 8), weight: device.tensor("f32", [8], new Float32Array(8).fill(1)), epsilon: 1e-6, out: out.tensor });
      expectSame("out", await out.read(), new Float32Array(16));
    });
  });
}

/** Positions from the first to far beyond any trained context. */
const positions = [0, 1, 2, 63, 1000, 16383, 131071] as const;

function rotateCases(checks: Checks): void {
  checks.group("rotate", () => {
    const shapes = [
      { heads: 1, headDim: 8, rotary: 8 },
      { heads: 3, headDim: 64, rotary: 64 },
      { heads: 2, headDim: 24, rotary: 10 },
      { heads: 5, headDim: 128, rotary: 128 },
    ];
    for (const { heads, headDim, rotary } of shapes) {
      for (const normed of [false, true]) {
        checks.check(`${heads} heads of ${headDim}, ${rotary} rotated${normed ? ", normed" : ""}`, async (device) => {
          const numbers = random(headDim + heads);
          const width = heads * headDim;
          const x = device.asActivations(numbers.normals(positions.length * width));
          const frequencies = Float32Array.from({ length: rotary / 2 }, (_, i) => 10000 ** (-2 * i / rotary));
          const rotation = { heads, headDim, positions, frequencies, amplitude: normed ? 1.25 : 1 };
          const gains = numbers.normals(headDim);
          const inout = device.inout(x, width);
          device.neural.rotate({
            ...rotation,
            x: inout.tensor,
            positions: device.tensor("i32", [positions.length], positions),
            frequencies: device.tensor("f32", [frequencies.length], frequencies),
            ...(normed ? { norm: { weight: device.tensor("f32", [headDim], gains), epsilon: 1e-6 } } : {}),
          });
          expectAccurate("x", await inout.read(), device.activation, (precision) => {
            const inner = { ...precision, store: precision.step };
            return rotate(normed ? rmsNorm(x, gains, 1e-6, inner).values : x, rotation, precision);
          });
        });
      }
    }
  });
}

function swigluCases(checks: Checks): void {
  checks.group("swiglu", () => {
    for (const width of edges) {
      checks.check(`width ${width}`, async (device) => {
        for (const rows of [1, 5]) {
          const gateUp = device.asActivations(random(width).normals(rows * 2 * width, 4));
          const out = device.output(rows, width);
          device.neural.swiglu({ gateUp: device.input(gateUp, 2 * width), out: out.tensor });
          expectAccurate(`${rows} rows`, await out.read(), device.activation, (precision) => swiglu(gateUp, width, precision));
        }
      });
    }
    checks.check("extreme gates neither overflow nor become NaN", async (device) => {
      const gates = [-200, -100, 0, 100, 200].map((gate) => roundTo(device.activation, gate));
      const out = device.output(1, 5);
      device.neural.swiglu({ gateUp: device.input([...gates, 1, 1, 1, 1, 1], 10), out: out.tensor });
      const result = await out.read();
      expectSame("out", result.map((value) => (Math.abs(value) < 1e-30 ? 0 : value)), [0, 0, 0, 100, 200]);
    });
  });
}

/** Against the backend's own projections, which `linear` is held to the reference for. */
function gatedLinearCases(checks: Checks): void {
  checks.group("gatedLinear", () => {
    for (const dtype of checks.backend.capabilities.weights) {
      checks.check(dtype, async (device) => {
        const columns = testColumns(dtype)[0] ?? 1;
        for (const rows of [1, 4, 5, 8, 9, 17]) {
          for (const width of [10, 16, 48]) await checkGatedLinear(device, dtype, rows, width, columns);
        }
      });
    }
  });
}

async function checkGatedLinear(device: Device, dtype: Parameters<typeof testWeight>[0], rows: number, width: number, columns: number): Promise<void> {
  const numbers = random(rows + width);
  const weight = device.weight(dtype, 2 * width, columns, testWeight(dtype, 2 * width, columns, numbers).data);
  const x = device.input(device.asActivations(numbers.normals(rows * columns)), columns);
  const [projections, gateUp, out] = [device.output(rows, 2 * width), device.output(rows, 2 * width), device.output(rows, width)];
  device.neural.linear({ x, weight, out: projections.tensor });
  device.neural.gatedLinear?.({ x, weight, gateUp: gateUp.tensor, out: out.tensor });
  const both = await projections.read();
  expectAccurate(`${rows} rows, width ${width}`, await out.read(), device.activation, (precision) => {
    const { values, magnitude } = swiglu(both, width, precision);
    // Sums in another order may round the gate and its factor to the next number.
    return { values, magnitude: 3 * magnitude };
  });
}
