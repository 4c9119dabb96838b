import { BatchState, KvCache } from "@infllm/attention";
import { referenceBackend } from "@infllm/backend-cpu";
import { describe, expect, it } from "vitest";
import { allocateActivations } from "../src/forward/activations.ts";
import { forward } from "../src/forward/forward.ts";
import { openModel } from "../src/load/open-model.ts";
import { ropeTable } from "../src/rope/rope-table.ts";
import { loadWeights } from "../src/weights/load-weights.ts";
import { weightPlan } from "../src/weights/weight-plan.ts";
import { plainLogits } from "./support/plain-forward.ts";
import { hfFiles, randomModel } from "./support/random-model.ts";

const model = randomModel("qwen3");
const prompts = [12, 30, 7].map((length, s) => Array.from({ length }, (_, i) => 4 + ((i * 31 + s * 17) % 250)));

async function openNetwork(rows: number) {
  const backend = referenceBackend();
  const { config, weights: source } = await openModel(hfFiles(model));
  const plan = weightPlan(source, config, backend.capabilities.weights, "stored");
  const weights = await loadWeights({ backend, source, config }, plan);
  const { layers, kvHeads, headDim } = config;
  const cache = KvCache.allocate(backend, { layers, kvHeads, headDim, contextLength: 64, sequences: 3 });
  const { activations } = allocateActivations(backend, config, { rows, logitRows: 3, sparse: undefined });
  const rope = ropeTable(config.rope, 64);
  const frequencies = backend.allocate("f32", [rope.frequencies.length]);
  backend.write(frequencies, rope.frequencies);
  return { backend, config, weights, cache, activations, frequencies, amplitude: rope.amplitude, everyQuery: false };
}

describe("several sequences in one pass", () => {
  it("each get the logits they would get alone", async () => {
    const rows = prompts.reduce((sum, prompt) => sum + prompt.length, 0);
    const network = await openNetwork(rows);
    const { backend, activations, cache } = network;
    const state = BatchState.allocate(backend, cache, { rows, sequences: 3 });
    const sequences = prompts.map(() => cache.addSequence());

    // All but the last token of every prompt in one pass without logits, then the last ones side by side.
    state.set(sequences.map((sequence, s) => ({ sequence, count: (prompts[s]?.length ?? 0) - 1 })));
    backend.write(activations.ids, Int32Array.from(prompts.flatMap((prompt) => prompt.slice(0, -1))));
    forward(network, { batch: state.batch, positions: state.positions, sparse: false });
    state.set(sequences.map((sequence) => ({ sequence, count: 1 })));
    backend.write(activations.ids, Int32Array.from(prompts, (prompt) => prompt.at(-1) ?? 0));
    forward(network, { batch: state.batch, positions: state.positions, sparse: false, logitRows: [0, 3] });

    const logits = await backend.read(activations.logits);
    for (const [s, prompt] of prompts.entries()) {
      const expected = plainLogits(model, prompt, 64).at(-1) ?? [];
      const largest = Math.max(...expected.map(Math.abs));
      for (const [i, value] of expected.entries()) {
        expect(Math.abs((logits[s * expected.length + i] ?? NaN) - value)).toBeLessThan(1e-5 * largest);
      }
    }
  });
});
