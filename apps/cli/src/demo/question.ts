/** A long passage with one made-up fact hidden in it, and the question about the fact. */
import { BadUsageError } from "@infllm/command";
import { random, type Random } from "@infllm/tensor";

/** What counts and cuts in tokens. */
export interface TokenCodec {
  encode(text: string): readonly number[];
  decode(ids: readonly number[]): string;
}

export interface HiddenFact {
  /** The user's message: passage with the fact, then the question. */
  readonly message: string;
  readonly question: string;
  /** The sentence that is hidden, and the right answer. */
  readonly expected: string;
  /** Tokens of `message`. */
  readonly tokens: number;
  /** Tokens of `message` before the fact, and those of the fact. */
  readonly factFrom: number;
  readonly factTo: number;
}

export interface HideOptions {
  readonly text: string;
  /** Tokens the message should have. */
  readonly tokens: number;
  /** 0 hides the fact at the start of the passage, 1 at its end. */
  readonly depth: number;
  readonly seed: number;
}

const keys = [
  "lighthouse", "orchard", "teapot", "compass", "blacksmith", "marble", "lantern", "umbrella",
  "monastery", "falcon", "cathedral", "violin", "vineyard", "sapphire", "windmill", "tapestry",
];

/** Tokens a passage needs at least: less would be no haystack. */
export const fewestPassageTokens = 64;

/**
 * Cuts a passage of the wanted length out of `text`, starting at a paragraph that `seed` picks, and hides the fact at
 * the sentence end nearest to `depth`. Pieces joined as text may tokenize to a token or two more or less than apart,
 * so the cut is repeated until the count fits, or comes as near as it can.
 */
export function hideFact(codec: TokenCodec, { text, tokens, depth, seed }: HideOptions): HiddenFact {
  const generator = random(seed);
  const key = keys[generator.below(keys.length)] ?? "lighthouse";
  const expected = `The special magic number for ${key} is: ${1_000_000 + generator.below(9_000_000)}.`;
  const question = `What is the special magic number for ${key} mentioned in the text above?`;
  const overhead = codec.encode(` ${expected}\n\n${question}`).length;
  const room = tokens - overhead;
  if (room < fewestPassageTokens) {
    throw new BadUsageError(`${tokens} tokens leave no room for a text; ${overhead + fewestPassageTokens} are needed.`);
  }
  const ids = passageTokens(codec, text, room, generator);

  let best: HiddenFact | undefined;
  for (let attempt = 0, length = room; attempt < 6; attempt++) {
    const made = assemble(codec, ids.slice(0, length), depth, expected, question);
    if (!best || Math.abs(made.tokens - tokens) < Math.abs(best.tokens - tokens)) best = made;
    if (made.tokens === tokens) break;
    length = Math.min(ids.length, Math.max(1, length + tokens - made.tokens));
  }
  if (!best) throw new Error("no passage was made");
  return best;
}

/** Somewhat more than `room` tokens of the text from a paragraph that the generator picks. */
function passageTokens(codec: TokenCodec, text: string, room: number, generator: Random): readonly number[] {
  const wanted = room + 64;
  // English prose has at least two characters a token in any vocabulary of use, and fewer than eight.
  for (let characters = wanted * 4; ; characters *= 2) {
    const latest = Math.max(0, text.length - characters);
    const near = text.lastIndexOf("\n", generator.below(latest + 1));
    const ids = codec.encode(text.slice(near + 1, near + 1 + characters));
    if (ids.length >= wanted) return ids.slice(0, wanted);
    if (characters >= text.length) {
      throw new BadUsageError(`The text has ${ids.length} tokens; ${room} are needed. Ask for fewer --tokens.`);
    }
  }
}

function assemble(
  codec: TokenCodec,
  ids: readonly number[],
  depth: number,
  expected: string,
  question: string,
): HiddenFact {
  // A cut may split a character of several bytes, which then decodes to U+FFFD.
  const passage = codec.decode(ids).replace(/\uFFFD+$/u, "").trimEnd();
  const cut = sentenceEnd(passage, depth);
  const before = passage.slice(0, cut);
  const message = `${before} ${expected}${passage.slice(cut)}\n\n${question}`;
  const factFrom = codec.encode(before).length;
  const factTo = codec.encode(`${before} ${expected}`).length;
  return { message, question, expected, tokens: codec.encode(message).length, factFrom, factTo };
}

/** The character after the sentence end nearest to `depth`; the start of the passage where there is none. */
function sentenceEnd(passage: string, depth: number): number {
  const target = passage.length * depth;
  let best = 0;
  for (const match of passage.matchAll(/[.!?]["”’]?(?=\s|$)/gu)) {
    const end = match.index + match[0].length;
    if (Math.abs(end - target) < Math.abs(best - target)) best = end;
  }
  return best;
}
