import { readFile } from "node:fs/promises";
import type { AttentionMode } from "@infllm/attention";
import { cpuBackend } from "@infllm/backend-cpu";
import { loadModel } from "@infllm/model";
import type { GenerateStats, ModelBackend } from "@infllm/model";
import { describe, expect, it } from "vitest";
import { openDevice } from "../src/device.ts";
import { webgpuBackend } from "../src/index.ts";

const text = await readFile(new URL("../../tiny-model/reference/needle-6k.txt", import.meta.url), "utf8");

interface Case {
  readonly activation: "f32" | "f16";
  readonly attention: AttentionMode;
  readonly tokens: number;
  /** Fewer blocks than the model's own config, so that a short prompt is read sparsely. */
  readonly sparse?: { readonly topk: number; readonly windowSize: number };
}

/** A device, and the bytes of its buffers that were made and not destroyed. */
async function openCountingDevice(): Promise<{ readonly device: GPUDevice; readonly live: () => number; readonly close: () => void }> {
  const { device } = await openDevice({});
  let bytes = 0;
  const create = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const buffer = create(descriptor);
    bytes += descriptor.size;
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      bytes -= descriptor.size;
      buffer.destroy = destroy;
      return destroy();
    };
    return buffer;
  };
  return { device, live: () => bytes, close: () => device.destroy() };
}

const few = { topk: 4, windowSize: 128 };
const cases: readonly Case[] = [
  { activation: "f32", attention: "sparse", tokens: 2048 },
  { activation: "f32", attention: "dense", tokens: 600 },
  { activation: "f16", attention: "dense", tokens: 600 },
  { activation: "f16", attention: "sparse", tokens: 600, sparse: few },
];

/** Greedy tokens after the prompt's first tokens. */
async function greedy(backend: ModelBackend, { attention, tokens: count, sparse }: Case): Promise<readonly number[]> {
  const model = await loadModel("embedded", { backend, contextLength: count + 64, ...(sparse && { sparse }) });
  let tokens: readonly number[] = [];
  const ids = model.promptIds(text).slice(0, count);
  const options = { attention, temperature: 0, maxTokens: 24, ignoreEos: true };
  const onFinish = (stats: GenerateStats): void => {
    tokens = stats.tokens;
  };
  for await (const _ of model.generate(ids, { ...options, onFinish })) continue;
  await model.close();
  return tokens;
}

describe("the embedded model", () => {
  for (const each of cases) {
    it(`${each.activation}, ${each.attention}: the CPU's greedy tokens after ${each.tokens}`, async () => {
      const cpu = await cpuBackend();
      const expected = await greedy(cpu, each);
      await cpu.close();
      const backend = await webgpuBackend({ activation: each.activation });
      const tokens = await greedy(backend, each);
      await backend.close();
      expect(tokens).toEqual(expected);
    }, 300_000);
  }

  it("finds the tokens of a text as likely as on the CPU", async () => {
    const scores = async (backend: ModelBackend) => {
      const model = await loadModel("embedded", { backend, contextLength: 256, chunk: 128, sparse: few });
      const { logProbs } = await model.score(model.promptIds(text).slice(0, 250), { attention: "sparse" });
      await model.close();
      await backend.close();
      return logProbs;
    };
    const [expected, actual] = [await scores(await cpuBackend()), await scores(await webgpuBackend({ activation: "f32" }))];
    expected.forEach((value, position) => expect(Math.abs((actual[position] ?? NaN) - value), `position ${position}`).toBeLessThan(1e-3));
  }, 120_000);

  it("is loaded, used and closed 20 times without a byte left", async () => {
    const { device, live, close } = await openCountingDevice();
    const backend = await webgpuBackend({ device });
    const use = async (): Promise<void> => {
      const model = await loadModel("embedded", { backend, contextLength: 256 });
      for await (const _ of model.generate("Once upon a time", { maxTokens: 3, temperature: 0 })) continue;
      expect(backend.memory().used).toBeGreaterThan(10_000_000);
      await model.close();
    };
    // The first time, the backend takes what it keeps: scratch memory and buffers for reading.
    await use();
    const kept = { used: backend.memory().used, buffers: backend.buffers() };
    // What the backend counts is what the device has.
    expect(kept.used).toBe(live());
    expect(kept.used).toBeLessThan(5_000_000);
    for (let i = 1; i < 20; i++) {
      await use();
      expect({ used: backend.memory().used, buffers: backend.buffers() }).toEqual(kept);
      expect(live()).toBe(kept.used);
    }
    await backend.close();
    expect(backend.buffers()).toBe(0);
    expect(live()).toBe(0);
    close();
  }, 120_000);
});
