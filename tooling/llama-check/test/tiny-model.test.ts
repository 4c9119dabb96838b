import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpuBackend } from "@infllm/backend-cpu";
import { convertModel, loadModel } from "@infllm/model";
import type { Model } from "@infllm/model";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { missing, openLlama } from "./llama.ts";
import type { LlamaModel } from "./llama.ts";

const reference = new URL("../../../packages/tiny-model/reference/reference.json", import.meta.url);
const { prompts } = JSON.parse(await readFile(reference, "utf8")) as {
  prompts: { name: string; chat: boolean; prompt?: string; ids: number[] }[];
};
// The third prompt lies in a file of its own: 6k tokens, more than the context that this check pays for.
const short = prompts.flatMap(({ prompt, ...rest }) => (prompt === undefined ? [] : [{ ...rest, prompt }]));
const TOKENS = 24;

/** The embedded model, written by `convertModel`, read by llama.cpp and by us: same ids, same greedy tokens. */
describe.skipIf(missing !== undefined)(`the embedded model in llama.cpp${missing === undefined ? "" : ` (skipped: ${missing})`}`, () => {
  const backend = cpuBackend();
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "llama-check-"));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
    await (await backend).close();
  });

  for (const dtype of ["f16", "q8_0"] as const) {
    describe(`as ${dtype}`, () => {
      let llama: LlamaModel;
      let ours: Model;

      beforeAll(async () => {
        const out = join(folder, `tiny-${dtype}.gguf`);
        await convertModel("embedded", { to: "gguf", dtype, out });
        llama = await openLlama(out, 1200);
        ours = await loadModel(out, { backend: await backend, contextLength: 1200 });
      });
      afterAll(async () => {
        await llama.close();
        await ours.close();
      });

      for (const { name, chat, prompt, ids } of short) {
        it(`${name}: the same token ids`, () => {
          const text = chat ? `<|bos|><|user|>${prompt}<|assistant|>` : `<|bos|>${prompt}`;
          expect(llama.tokenize(text)).toEqual(ids);
          expect(ours.promptIds(chat ? [{ role: "user", content: prompt }] : prompt)).toEqual(ids);
        });

        it(`${name}: the same greedy tokens`, async () => {
          const theirs = await llama.greedy(ids, TOKENS);
          let tokens: readonly number[] = [];
          const options = { attention: "dense", ignoreEos: true, maxTokens: TOKENS } as const;
          const stream = ours.generate(ids, { ...options, onFinish: (stats) => (tokens = stats.tokens) });
          for await (const _ of stream) continue;
          expect(tokens).toEqual(theirs.tokens);
        });
      }
    });
  }
});
