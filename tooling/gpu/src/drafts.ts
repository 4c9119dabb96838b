/** Drafts that are checked in one pass beside plain steps, and where the time goes: the embedded model on a text that repeats. */
import { loadModel } from "@infllm/model";
import type { GenerateOptions, GenerateStats, HeldMemory, Model, ModelBackend, Profile } from "@infllm/model";

const PASSAGE = "Rain fell all night. The keeper wrote in his book: the wind, the tide, the ships that passed. One two three four five six. ";
const REPEATED = 60;
const TOKENS = 128;
const kinds = { plain: undefined, adaptive: true, always: { adaptive: false } } as const;

/** One way to decode one answer. */
interface DraftReport {
  readonly attention: "dense" | "sparse";
  readonly drafts: keyof typeof kinds;
  readonly promptTokens: number;
  readonly prefillMs: number;
  readonly decodeMsPerToken: number;
  readonly tokenMs: { readonly p50: number; readonly p99: number };
  /** Tokens until the first that plain steps did not draw: rounding may tip a tie. */
  readonly equalTokens: number;
  readonly speculation?: GenerateStats["speculation"];
  readonly profile?: Profile;
}

export async function drafts(backend: ModelBackend): Promise<{ drafts: DraftReport[]; memory: HeldMemory; ok: boolean }> {
  const model = await loadModel("embedded", { backend, contextLength: 4096 });
  const reports: DraftReport[] = [];
  for (const attention of ["dense", "sparse"] as const) {
    let expected: readonly number[] = [];
    for (const [kind, speculate] of Object.entries(kinds) as [keyof typeof kinds, GenerateOptions["speculate"]][]) {
      // The first answer of a kind pays for loading kernels and recording steps.
      await answer(model, { attention, speculate });
      const stats = await answer(model, { attention, speculate });
      if (kind === "plain") expected = stats.tokens;
      const report = describe(attention, kind, stats, expected);
      const { profile } = kind === "plain" ? await answer(model, { attention, profile: true }) : {};
      reports.push(profile === undefined ? report : { ...report, profile });
      console.log(JSON.stringify(report));
    }
  }
  const memory = model.memory();
  await model.close();
  const drafted = reports.filter(({ drafts: kind }) => kind === "always");
  return { drafts: reports, memory, ok: drafted.every(({ speculation }) => (speculation?.accepted ?? 0) > 0) };
}

function describe(attention: "dense" | "sparse", kind: keyof typeof kinds, stats: GenerateStats, expected: readonly number[]): DraftReport {
  const { promptTokens, prefillSeconds, decodeSeconds, generatedTokens, tokenSeconds, tokens, speculation } = stats;
  const different = expected.findIndex((token, i) => token !== tokens[i]);
  const milliseconds = (seconds: number): number => Number((1000 * seconds).toPrecision(4));
  return {
    attention,
    drafts: kind,
    promptTokens,
    prefillMs: milliseconds(prefillSeconds),
    decodeMsPerToken: milliseconds(decodeSeconds / (generatedTokens - 1)),
    tokenMs: { p50: milliseconds(tokenSeconds?.p50 ?? NaN), p99: milliseconds(tokenSeconds?.p99 ?? NaN) },
    equalTokens: different === -1 ? tokens.length : different,
    ...(speculation === undefined ? {} : { speculation }),
  };
}

async function answer(model: Model, options: GenerateOptions): Promise<GenerateStats> {
  let finished: GenerateStats | undefined;
  const onFinish = (stats: GenerateStats): void => {
    finished = stats;
  };
  const pieces = model.generate(PASSAGE.repeat(REPEATED), { temperature: 0, ignoreEos: true, maxTokens: TOKENS, ...options, onFinish });
  for await (const _ of pieces) continue;
  if (finished === undefined) throw new Error("generate ended without its figures.");
  return finished;
}
