/** The same question twice, dense and sparse, each reading the whole text anew. */
import type { Model, Session } from "@infllm/model";
import type { CompareArgs, CompareEvent, Comparison } from "../engine/protocol.ts";
import { answer, promptIds } from "./answer.ts";

/** Prompt tokens that both modes run on first: enough to compile every kernel and bring WASM to speed. */
const WARM_UP = 320;

/** Models that ran both modes already. */
const warm = new WeakSet<Model>();

/** @throws what `Session.generate` throws */
export async function compare(
  model: Model,
  session: Session,
  { text, question }: CompareArgs,
  emit: (event: CompareEvent) => void,
  signal: AbortSignal,
): Promise<Comparison> {
  if (!warm.has(model)) {
    emit({ type: "warming" });
    await warmUp(model, promptIds(model, text, question), signal);
    warm.add(model);
  }
  const ask = (side: "dense" | "sparse") => {
    session.reset();
    return answer(model, session, { text, question, attention: side }, (event) => emit({ type: "side", side, event }), signal);
  };
  const dense = await ask("dense");
  return { dense, sparse: await ask("sparse") };
}

async function warmUp(model: Model, ids: readonly number[], signal: AbortSignal): Promise<void> {
  for (const attention of ["dense", "sparse"] as const) {
    const pieces = model.generate(ids.slice(0, WARM_UP), { attention, signal, temperature: 0, maxTokens: 4, ignoreEos: true });
    while (!(await pieces.next()).done);
  }
}
