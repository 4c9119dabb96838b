/** A backend whose products take norms and additions along says what the same backend says op by op. */
import { cpuBackend } from "@infllm/backend-cpu";
import type { CpuBackend } from "@infllm/backend-cpu";
import { random } from "@infllm/tensor";
import type { DeviceTensor, FusedProducts, WeightMatrix } from "@infllm/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadModel } from "../src/index.ts";
import { collect } from "./support/collect.ts";

const source = random(9);
const prompt = Array.from({ length: 300 }, () => 300 + source.below(3000));

let backend: CpuBackend;
beforeAll(async () => {
  backend = await cpuBackend({ threads: 2 });
});
afterAll(() => backend.close());

/** The fused ops out of the others, which count themselves. */
function fusing(plain: CpuBackend, suits: (weight: WeightMatrix, rows: number) => boolean): { readonly backend: CpuBackend; readonly calls: Map<string, number> } {
  const calls = new Map<string, number>();
  const scratch = (rows: number, columns: number): DeviceTensor => plain.allocate("f32", [rows, columns]);
  const rowsOf = (tensor: DeviceTensor): number => tensor.shape[0] ?? 0;
  const count = (op: string): void => void calls.set(op, (calls.get(op) ?? 0) + 1);
  const normed = (x: DeviceTensor, norm: { readonly weight: DeviceTensor; readonly epsilon: number }): DeviceTensor => {
    const out = scratch(rowsOf(x), x.shape[1] ?? 0);
    plain.neural.rmsNorm({ x, ...norm, out });
    return out;
  };
  const fused: FusedProducts = {
    suits,
    normLinear({ x, norm, ...product }) {
      count("normLinear");
      const input = normed(x, norm);
      plain.neural.linear({ ...product, x: input });
      input.release();
    },
    normGatedLinear({ x, norm, weight, out }) {
      count("normGatedLinear");
      const [input, gateUp] = [normed(x, norm), scratch(rowsOf(x), weight.rows)];
      plain.neural.linear({ x: input, weight, out: gateUp });
      plain.neural.swiglu({ gateUp, out });
      for (const tensor of [input, gateUp]) tensor.release();
    },
    addLinear({ out, scale, ...product }) {
      count("addLinear");
      const [delta, unused] = [scratch(rowsOf(out), out.shape[1] ?? 0), scratch(rowsOf(out), out.shape[1] ?? 0)];
      const weight = plain.allocate("f32", [out.shape[1] ?? 0]);
      plain.neural.linear({ ...product, out: delta });
      plain.neural.rmsNorm({ x: out, residual: { delta, scale }, weight, epsilon: 1, out: unused });
      for (const tensor of [delta, unused, weight]) tensor.release();
    },
  };
  // A recorded step would run ops on scratch that is gone.
  return { backend: { ...plain, neural: { ...plain.neural, fused }, record: (step) => ({ run: step, release() {} }) }, calls };
}

async function answer(on: CpuBackend): Promise<{ readonly text: string; readonly logits: Float32Array }> {
  const model = await loadModel("embedded", { backend: on, contextLength: 400, sparse: { topk: 4, windowSize: 128, denseLen: 0 } });
  try {
    const { text } = await collect(model.createSession(), prompt, { maxTokens: 12, seed: 1 });
    return { text, logits: await model.lastLogits() };
  } finally {
    await model.close();
  }
}

describe("products that take norms and additions along", () => {
  it("are used for the rows that suit every layer, and change nothing", async () => {
    const plain = await answer(backend);
    const { backend: fused, calls } = fusing(backend, (_, rows) => rows === 1);
    const other = await answer(fused);
    expect(other.text).toBe(plain.text);
    const difference = other.logits.reduce((most, value, token) => Math.max(most, Math.abs(value - (plain.logits[token] ?? NaN))), 0);
    expect(difference).toBeLessThan(1e-4);
    // The last layer leaves its delta for the final norm, so it adds once where the others add twice.
    const [layers, adds] = [calls.get("normGatedLinear") ?? 0, calls.get("addLinear") ?? 0];
    expect(layers).toBeGreaterThan(0);
    expect(adds).toBeGreaterThan(layers);
    expect(adds).toBeLessThan(2 * layers);
  });

  it("are left alone when one matrix does not suit", async () => {
    let last: WeightMatrix | undefined;
    const { backend: fused, calls } = fusing(backend, (weight) => weight !== last);
    const allocateWeight: typeof fused.neural.allocateWeight = (...size) => (last = backend.neural.allocateWeight(...size));
    await answer({ ...fused, neural: { ...fused.neural, allocateWeight } });
    expect([...calls]).toEqual([]);
  });
});
