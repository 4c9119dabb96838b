/** The embedded model's greedy tokens against the reference that another implementation made in float32. */
import { readFile } from "node:fs/promises";
import { loadModel } from "@infllm/model";
import type { GenerateStats, Model, ModelBackend } from "@infllm/model";

interface Answer {
  readonly greedy: readonly number[];
}
interface Prompt {
  readonly name: string;
  readonly ids: readonly number[];
  readonly dense: Answer;
  readonly sparse_approx_lse?: Answer;
}

/** What the record keeps of one prompt. */
export interface PromptReport {
  readonly prompt: string;
  readonly attention: "dense" | "sparse";
  readonly promptTokens: number;
  readonly tokens: number;
  readonly equalTokens: number;
  readonly prefillMs: number;
  readonly decodeMsPerToken: number;
}

const EOS = 1;
const TOKENS = 24;

/** Asks every prompt of the reference, densely and where it says so sparsely. The first of each kind pays for compiling kernels. */
export async function greedyTokens(backend: ModelBackend): Promise<{ prompts: PromptReport[]; ok: boolean }> {
  const file = new URL("../reference/reference.json", import.meta.url);
  const { prompts } = JSON.parse(await readFile(file, "utf8")) as { prompts: Prompt[] };
  const model = await loadModel("embedded", { backend, contextLength: 6100 });
  const reports: PromptReport[] = [];
  for (const { name, ids, dense, sparse_approx_lse } of prompts) {
    for (const [attention, expected] of [["dense", dense], ["sparse", sparse_approx_lse]] as const) {
      if (expected === undefined) continue;
      const want = attention === "dense" ? expected.greedy : upToEnd(expected.greedy);
      const { tokens, prefillSeconds, decodeSeconds, generatedTokens } = await greedy(model, ids, attention);
      const got = tokens.slice(0, want.length);
      const different = want.findIndex((token, i) => token !== got[i]);
      const report: PromptReport = {
        prompt: name,
        attention,
        promptTokens: ids.length,
        tokens: want.length,
        equalTokens: different === -1 ? want.length : different,
        prefillMs: rounded(1000 * prefillSeconds),
        decodeMsPerToken: rounded((1000 * decodeSeconds) / (generatedTokens - 1)),
      };
      reports.push(report);
      console.log(JSON.stringify(report));
    }
  }
  await model.close();
  return { prompts: reports, ok: reports.length > 0 && reports.every(({ tokens, equalTokens }) => tokens === equalTokens) };
}

async function greedy(model: Model, ids: readonly number[], attention: "dense" | "sparse"): Promise<GenerateStats> {
  let finished: GenerateStats | undefined;
  const session = model.createSession();
  const onFinish = (stats: GenerateStats): void => {
    finished = stats;
  };
  for await (const _ of session.generate(ids, { attention, temperature: 0, ignoreEos: true, maxTokens: TOKENS, onFinish })) continue;
  if (finished === undefined) throw new Error("generate ended without its figures.");
  return finished;
}

function upToEnd(tokens: readonly number[]): readonly number[] {
  const end = tokens.indexOf(EOS);
  return end < 0 ? tokens : tokens.slice(0, end + 1);
}

function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
