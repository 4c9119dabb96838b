import { demoText } from "@infllm/demo-text";
import type { Random } from "@infllm/tensor";
import lists from "../../../data/words.json";
import { pick } from "./draw.ts";

/** `gentle-harbour`: RULER's form of a word as key. */
export function compoundWord(from: Random): string {
  return `${pick(from, lists.adjectives)}-${pick(from, lists.nouns)}`;
}

/** A key that the embedded model reads as one: a noun. */
export function noun(from: Random): string {
  return pick(from, lists.nouns);
}

/** A number of `digits` digits, the first not 0. */
export function digits(from: Random, count: number): string {
  return String(10 ** (count - 1) + from.below(9 * 10 ** (count - 1)));
}

/** A random (version 4) UUID. */
export function uuid(from: Random): string {
  const hex = Array.from({ length: 4 }, () => from.next().toString(16).padStart(8, "0")).join("");
  const variant = "89ab"[from.below(4)] ?? "8";
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `${variant}${hex.slice(17, 20)}`, hex.slice(20)].join("-");
}

/** `count` random letters. @param first the alphabet's first letter, `A` or `a` */
export function letters(from: Random, count: number, first: "A" | "a"): string {
  const start = first.charCodeAt(0);
  return String.fromCharCode(...Array.from({ length: count }, () => start + from.below(26)));
}

/** All nouns, adjectives and verbs, some 2,900. */
export const listedWords: readonly string[] = [...new Set([...lists.nouns, ...lists.adjectives, ...lists.verbs])].sort();

/** `listedWords` and the words of a book, some 10,000, for lists that need more. */
export async function manyWords(): Promise<string[]> {
  const book = (await demoText()).match(/(?<![\w’-])[a-z]{3,}(?![\w’-])/g) ?? [];
  return [...new Set([...listedWords, ...book])].sort();
}
