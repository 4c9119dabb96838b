import { describe, expect, it } from "vitest";
import { demoText } from "./demo-text.ts";
import { hideFact, type TokenCodec } from "./hide-fact.ts";

/** Words, single characters of punctuation and digits; a word and the space before it are one token. */
const wordCodec: TokenCodec = codec(/ ?\p{L}+|\d|\s|[^\p{L}\d\s]/gu);
/** Pieces of three characters: joins of texts shift every later piece. */
const tripleCodec: TokenCodec = codec(/[\s\S]{1,3}/gu);

function codec(pattern: RegExp): TokenCodec {
  const names: string[] = [];
  const ids = new Map<string, number>();
  return {
    encode: (text) =>
      (text.match(pattern) ?? []).map((piece) => {
        const known = ids.get(piece);
        if (known !== undefined) return known;
        names.push(piece);
        ids.set(piece, names.length - 1);
        return names.length - 1;
      }),
    decode: (tokens) => tokens.map((id) => names[id] ?? "?").join(""),
  };
}

const text = await demoText();

describe.each([
  ["words", wordCodec],
  ["triples", tripleCodec],
])("hideFact over %s", (_, tokens) => {
  it.each([200, 1000, 4093])("makes %i tokens, or as near as joins allow", (wanted) => {
    const made = hideFact(tokens, { text, tokens: wanted, depth: 0.5, seed: 3 });
    expect(tokens.encode(made.message).length).toBe(made.tokens);
    expect(Math.abs(made.tokens - wanted)).toBeLessThanOrEqual(2);
  });

  it.each([0, 0.25, 0.5, 1])("hides the fact once, at depth %f, between sentences", (depth) => {
    const { message, expected, question, factFrom, factTo } = hideFact(tokens, { text, tokens: 3000, depth, seed: 8 });
    expect(message.split(expected).length).toBe(2);
    expect(message.endsWith(`\n\n${question}`)).toBe(true);
    expect(message.split(expected)[0]).toMatch(/(^|[.!?]["”’]?) $/u);
    expect(factFrom / 3000).toBeCloseTo(depth, 1);
    expect(tokens.decode(tokens.encode(message).slice(factFrom, factTo + 1))).toContain(expected.slice(4, -8));
  });
});

describe("hideFact", () => {
  const make = (seed: number) => hideFact(wordCodec, { text, tokens: 500, depth: 0.5, seed });

  it("repeats itself for a seed and differs between seeds", () => {
    expect(make(1)).toEqual(make(1));
    expect(new Set([1, 2, 3, 4].map((seed) => make(seed).message)).size).toBe(4);
  });

  it("starts at a paragraph", () => {
    const { message } = make(5);
    const start = text.indexOf(message.slice(0, 60));
    expect(start === 0 || text[start - 1] === "\n").toBe(true);
  });

  it("asks for the sentence that it hid", () => {
    const { expected, question } = make(6);
    expect(expected).toMatch(/^The special magic number for [a-z]+ is: \d{7}\.$/u);
    const [, key] = /number for (\S+) mentioned/u.exec(question) ?? [];
    expect(expected).toContain(`for ${key} is`);
  });

  it("says what is too short and what is too long", () => {
    expect(() => hideFact(wordCodec, { text, tokens: 20, depth: 0.5, seed: 0 })).toThrow(/no room for a text; \d+ are needed/u);
    expect(() => hideFact(wordCodec, { text, tokens: 2_000_000, depth: 0.5, seed: 0 })).toThrow("fewer");
  });
});
