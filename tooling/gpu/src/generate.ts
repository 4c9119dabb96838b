/** The embedded model's greedy tokens against the reference that another implementation made in float32. */
import { readFile } from "node:fs/promises";
import { cudaBackend } from "@infllm/backend-cuda";
import { loadModel } from "@infllm/model";
import type { Model } from "@infllm/model";

interface Answer {
  readonly greedy: readonly number[];
}
interface Prompt {
  readonly name: string;
  readonly ids: readonly number[];
  readonly dense: Answer;
  readonly sparse_approx_lse?: Answer;
}

const EOS = 1;
const TOKENS = 24;

export async function generate(): Promise<{ report: unknown; ok: boolean }> {
  const { prompts } = JSON.parse(await readFile(new URL("../reference/reference.json", import.meta.url), "utf8")) as { prompts: Prompt[] };
  const backend = await cudaBackend();
  const model = await loadModel("embedded", { backend, contextLength: 6100 });
  const rows: object[] = [];
  let ok = true;
  for (const { name, ids, dense, sparse_approx_lse } of prompts) {
    for (const [attention, expected] of [["dense", dense], ["sparse", sparse_approx_lse]] as const) {
      if (expected === undefined) continue;
      const want = attention === "dense" ? expected.greedy : upToEnd(expected.greedy);
      const got = (await greedy(model, ids, attention)).slice(0, want.length);
      const same = want.findIndex((token, i) => token !== got[i]);
      ok &&= same === -1;
      rows.push({ prompt: name, attention, tokens: want.length, equalTokens: same === -1 ? want.length : same });
      console.log(JSON.stringify(rows.at(-1)));
    }
  }
  await model.close();
  await backend.close();
  return { report: { prompts: rows, allocationsAfterClose: backend.allocations() }, ok: ok && backend.allocations() === 0 };
}

async function greedy(model: Model, ids: readonly number[], attention: "dense" | "sparse"): Promise<readonly number[]> {
  let tokens: readonly number[] = [];
  const session = model.createSession();
  const options = { attention, temperature: 0, ignoreEos: true, maxTokens: TOKENS };
  for await (const _ of session.generate(ids, { ...options, onFinish: (stats) => (tokens = stats.tokens) })) continue;
  return tokens;
}

function upToEnd(tokens: readonly number[]): readonly number[] {
  const end = tokens.indexOf(EOS);
  return end < 0 ? tokens : tokens.slice(0, end + 1);
}
