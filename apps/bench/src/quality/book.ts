/** Passages of a long text as token ids. */
import { demoText } from "@infllm/demo-text";
import type { Model } from "@infllm/model";
import { random, ShapeError } from "@infllm/tensor";

export interface PassageOptions {
  /** Tokens of the passage. */
  readonly length: number;
  /** Picks the place where it starts. */
  readonly seed: number;
  /** A public-domain book when absent. */
  readonly text?: string | undefined;
}

/** So many tokens from a paragraph that the seed picks, behind the token that begins texts. @throws ShapeError when the text is shorter */
export async function bookIds({ tokenizer }: Pick<Model, "tokenizer">, { length, seed, text }: PassageOptions): Promise<number[]> {
  const whole = text ?? (await demoText());
  const start = random(seed);
  // English prose has at least two characters a token in any vocabulary of use, and fewer than eight.
  for (let characters = length * 4; ; characters *= 2) {
    const latest = Math.max(0, whole.length - characters);
    const near = whole.lastIndexOf("\n", start.below(latest + 1)) + 1;
    const ids = tokenizer.encode(whole.slice(near, near + characters));
    if (ids.length >= length) return ids.slice(0, length);
    if (characters >= whole.length) throw new ShapeError(`The text has ${ids.length} tokens; ${length} are needed. Ask for less, or give a longer --text.`);
  }
}
