import type { GenerateOptions, GenerateStats, Model, Prompt, Session } from "../../src/index.ts";

/** A whole answer with its stats. */
export async function collect(
  from: Pick<Model | Session, "generate">,
  prompt: Prompt,
  options: GenerateOptions = {},
): Promise<{ text: string; stats: GenerateStats }> {
  let text = "";
  let stats: GenerateStats | undefined;
  const stream = from.generate(prompt, { ...options, onFinish: (result) => (stats = result) });
  for await (const piece of stream) text += piece;
  if (stats === undefined) throw new Error("onFinish was not called");
  return { text, stats };
}
