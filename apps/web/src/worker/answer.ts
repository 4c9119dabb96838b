/** Asks one question about a text, and tells what happens meanwhile. */
import type { Model, Session } from "@infllm/model";
import type { Answer, AskArgs, AskEvent, Seen } from "../engine/protocol.ts";

/** Longest answer, in tokens. */
const LONGEST = 256;
/** Milliseconds between two pictures of what is read: more would be seen by nobody. */
const PICTURE = 120;

/**
 * Each question is a conversation of its own about the same text, so what precedes the question is taken from the cache.
 * @throws what `Session.generate` throws
 */
export async function answer(
  model: Model,
  session: Session,
  { text, question, attention }: AskArgs,
  emit: (event: AskEvent) => void,
  signal: AbortSignal,
): Promise<Answer> {
  const ids = promptIds(model, text, question);
  emit({ type: "prompt", tokens: ids.length, blocks: blockTexts(model, ids) });
  const started = performance.now();
  let finished: Answer["stats"] | undefined;
  const pieces = session.generate(ids, {
    attention,
    signal,
    maxTokens: Math.max(1, Math.min(LONGEST, model.contextLength - ids.length)),
    onPrefill: ({ processed, total }) => {
      const seconds = (performance.now() - started) / 1000;
      emit({ type: "read", cached: ids.length - total, processed, total, seconds });
    },
    onFinish: (stats) => {
      finished = stats;
    },
  });
  let whole = "";
  let pictured = -Infinity;
  for await (const piece of pieces) {
    whole += piece;
    emit({ type: "piece", text: piece });
    if (performance.now() - pictured < PICTURE) continue;
    emit({ type: "seen", seen: await lastSeen(model, ids.length) });
    pictured = performance.now();
  }
  if (finished === undefined) throw new Error("an answer ended without its statistics");
  // The last token was chosen, but never read.
  const all = [...ids, ...finished.tokens.slice(0, -1)];
  return { text: whole.trim(), stats: finished, seen: await lastSeen(model, all.length), blocks: blockTexts(model, all) };
}

export function promptIds(model: Model, text: string, question: string): number[] {
  const content = text === "" ? question : `${text}\n\n${question}`;
  if (!model.tokenizer.hasChatTemplate) return model.promptIds(`${content}\n\nAnswer:`);
  // Qwen3 would think for longer than a question about a text needs.
  return model.promptIds([{ role: "user", content }], { enable_thinking: false });
}

/** @param length tokens up to the last query, where it attended densely and has no selection to tell */
async function lastSeen(model: Model, length: number): Promise<Seen> {
  const selection = await model.lastSelection();
  return { length: selection === undefined ? length : selection.position + 1, selection };
}

function blockTexts(model: Model, ids: readonly number[]): string[] {
  const size = blockSize(model);
  return Array.from({ length: Math.ceil(ids.length / size) }, (_, block) =>
    model.tokenizer.decode(ids.slice(block * size, (block + 1) * size)),
  );
}

/** Tokens in a block. Every model is loaded with numbers for sparse attention, its own or MiniCPM4's. */
export function blockSize(model: Model): number {
  return model.description.sparse?.blockSize ?? 64;
}
