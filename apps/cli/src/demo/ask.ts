/** Asks the hidden fact's question in one mode of attention, and measures reading and answering. */
import type { GenerateStats, Model, Selection } from "@infllm/model";

export interface Answer {
  readonly text: string;
  readonly stats: GenerateStats;
  /** Tokens after the first that `decodeSeconds` took. */
  readonly decodeTokens: number;
  readonly decodeSeconds: number;
  /** What the last query chose; undefined when dense. */
  readonly selection: Selection | undefined;
}

export interface AskHooks {
  readonly signal: AbortSignal;
  onPrefill(processed: number, total: number): void;
  onPiece(piece: string): void;
}

/** Longest answer; the expected one has about 20 tokens. */
export const answerTokens = 48;
/** An answer alone is too short to time: this many tokens are decoded for that, past the end token. */
export const timedTokens = 64;

export async function ask(
  model: Model,
  ids: readonly number[],
  attention: "dense" | "sparse",
  hooks: AskHooks,
): Promise<Answer> {
  const session = model.createSession();
  const { signal } = hooks;
  const common = { attention, signal, temperature: 0 } as const;
  let stats: GenerateStats | undefined;
  let text = "";
  const pieces = session.generate(ids, {
    ...common,
    maxTokens: answerTokens,
    onPrefill: ({ processed, total }) => hooks.onPrefill(processed, total),
    onFinish: (finished) => {
      stats = finished;
    },
  });
  for await (const piece of pieces) {
    text += piece;
    hooks.onPiece(piece);
  }
  const selection = await model.lastSelection();

  let timed: GenerateStats | undefined;
  const onFinish = (finished: GenerateStats): void => {
    timed = finished;
  };
  // The prompt is in the cache already, so that next to nothing but decoding is left.
  await drain(session.generate(ids, { ...common, maxTokens: timedTokens + 1, ignoreEos: true, onFinish }));
  if (!stats || !timed) throw new Error("an answer ended without its statistics");
  return { text: text.trim(), stats, decodeTokens: timed.generatedTokens - 1, decodeSeconds: timed.decodeSeconds, selection };
}

/** Runs both modes on a short piece, so that neither pays for compiling code on first use. */
export async function warmUp(model: Model, ids: readonly number[], signal: AbortSignal): Promise<void> {
  for (const attention of ["dense", "sparse"] as const) {
    await drain(model.generate(ids.slice(0, 600), { attention, signal, temperature: 0, maxTokens: 4, ignoreEos: true }));
  }
}

async function drain(pieces: AsyncIterable<string>): Promise<void> {
  const iterator = pieces[Symbol.asyncIterator]();
  while (!(await iterator.next()).done);
}
