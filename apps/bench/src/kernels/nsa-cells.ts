/** What NSA's three branches cost beside each other: the embedded model reads a text with them, untrained for it. */
import { nsa } from "@infllm/attention/methods";
import type { ModelBackend } from "@infllm/command";
import { loadModel } from "@infllm/model";
import { timedPrompt } from "../e2e/prompt.ts";
import type { Figures } from "../results/record.ts";
import type { Cell } from "../results/run-cells.ts";

export function nsaCells(lengths: readonly number[], config: Figures, backend: ModelBackend, seed: number): Cell[] {
  return lengths.map((length): Cell => ({
    cell: { op: "nsa", phase: "prefill", length },
    config,
    async run({ signal, progress }) {
      const method = nsa();
      const model = await loadModel("embedded", { backend, contextLength: length, method, signal });
      try {
        const ids = timedPrompt(length, model.config.vocabulary, seed);
        await model.score(ids, { positions: [length - 1], signal, onPrefill: ({ processed, total }) => progress("", processed, total) });
      } finally {
        await model.close();
      }
      // Over all layers, by the reference implementation of the method.
      return { branches: { ...method.seconds } };
    },
  }));
}
