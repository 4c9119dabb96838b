/** Prefill and decode of the embedded model, dense and sparse with the same weights. */
import { loadModel } from "@infllm/model";
import type { GenerateStats, Model, ModelBackend } from "@infllm/model";
import { random } from "@infllm/tensor";
import { summary } from "./measure.ts";
import { ratio, rate } from "./report.ts";
import type { Result } from "./report.ts";

/** Decoded tokens; the first comes with the prefill. */
const ANSWER = 65;

export interface ModelOptions {
  readonly tokens: number;
  readonly runs: number;
  /** What the project promises: how many times as fast sparse is, and tokens a second of a sparse prefill. */
  readonly targets?: { readonly prefill?: number; readonly decode?: number; readonly prefillRate?: number };
  progress(text: string): void;
}

/** Closes the backend. */
export async function modelResults(backend: ModelBackend, { tokens, runs, targets = {}, progress }: ModelOptions): Promise<Result[]> {
  try {
    const model = await loadModel("embedded", { backend, contextLength: tokens + ANSWER });
    // The cost does not depend on the text; ids 0 to 3 are the model's special tokens.
    const numbers = random(3);
    const ids = Array.from({ length: tokens }, () => 4 + (numbers.next() % (model.config.vocabulary - 4)));
    const times = { dense: [] as GenerateStats[], sparse: [] as GenerateStats[] };
    for (let run = 0; run < runs; run++) {
      for (const attention of ["sparse", "dense"] as const) {
        progress(`${tokens}-token prompt, ${attention}, run ${run + 1} of ${runs}`);
        times[attention].push(await generate(model, ids, attention));
      }
    }
    await model.close();
    const of = (attention: "dense" | "sparse", what: "prefillSeconds" | "decodeSeconds") =>
      summary(times[attention].map((stats) => stats[what]));
    const where = `${tokens} tokens, ${backend.capabilities.description}`;
    const results = (["dense", "sparse"] as const).flatMap((attention) => [
      rate(`prefill ${attention}, ${where}`, tokens, of(attention, "prefillSeconds"), "tokens/s", attention === "sparse" ? targets.prefillRate : undefined),
      rate(`decode ${attention}, ${where}`, ANSWER - 1, of(attention, "decodeSeconds"), "tokens/s"),
    ]);
    const over = (what: "prefillSeconds" | "decodeSeconds"): number => of("dense", what).median / of("sparse", what).median;
    return [
      ...results,
      ratio(`prefill, ${tokens} tokens, sparse over dense`, over("prefillSeconds"), targets.prefill),
      ratio(`decode, ${tokens} tokens, sparse over dense`, over("decodeSeconds"), targets.decode),
    ];
  } finally {
    await backend.close();
  }
}

async function generate(model: Model, ids: readonly number[], attention: "dense" | "sparse"): Promise<GenerateStats> {
  let finished: GenerateStats | undefined;
  const options = {
    attention,
    maxTokens: ANSWER,
    temperature: 0,
    ignoreEos: true,
    onFinish: (stats: GenerateStats) => void (finished = stats),
  };
  let pieces = 0;
  for await (const piece of model.generate(ids, options)) pieces += piece.length;
  if (finished === undefined || finished.generatedTokens !== ANSWER || pieces < 0) throw new Error("The model stopped early.");
  return finished;
}
