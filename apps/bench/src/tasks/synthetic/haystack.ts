import { demoText } from "@infllm/demo-text";
import { ConfigError } from "@infllm/tensor";
import type { Random } from "@infllm/tensor";
import { distinctBelow } from "./draw.ts";

/** The five sentences that RULER repeats as noise (arXiv 2404.06654, from the passkey test of landmark attention). */
export const noise = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";

/** Words of the text that needles of prose hide in, without line breaks, as RULER cuts its essays. */
export async function haystackWords(text: string | undefined): Promise<string[]> {
  const words = (text ?? (await demoText())).split(/\s+/).filter((word) => word !== "");
  if (words.length === 0) throw new ConfigError("The haystack has no words. Give a text file with prose.");
  return words;
}

/** The first `count` words as sentences; the text starts again where it ends. */
export function sentencesOf(words: readonly string[], count: number): string[] {
  const text = Array.from({ length: count }, (_, index) => words[index % words.length]).join(" ");
  return text.split(/(?<=[.!?…]["'”’)\]]*) (?=\S)/).filter((sentence) => sentence !== "");
}

/** 40 even depths from 0 to 1 in steps of whole percents, RULER's places for needles in prose. */
const depths = Array.from({ length: 40 }, (_, index) => Math.round((100 * index) / 39) / 100);

/** Prose with each needle behind the sentences of its own random depth, in the order given. */
export function hideInProse(from: Random, sentences: readonly string[], needles: readonly string[]): string {
  const chosen = distinctBelow(from, depths.length, needles.length).map((index) => depths[index] as number);
  return hideAtDepths(sentences, needles, chosen.sort((a, b) => a - b));
}

/** @param at ascending depths, 0 to 1, one for every needle */
export function hideAtDepths(sentences: readonly string[], needles: readonly string[], at: readonly number[]): string {
  const places = at.map((depth) => Math.floor(sentences.length * depth));
  const parts = needles.flatMap((needle, index) => [...sentences.slice(places[index - 1] ?? 0, places[index]), needle]);
  return [...parts, ...sentences.slice(places.at(-1) ?? 0)].join(" ");
}

/** Lines with the needles as lines between them, at random places, in the order given. */
export function hideInLines(from: Random, lines: readonly string[], needles: readonly string[]): string {
  const places = distinctBelow(from, lines.length, needles.length).sort((a, b) => a - b);
  const parts = needles.flatMap((needle, index) => [...lines.slice(places[index - 1] ?? 0, places[index]), needle]);
  return [...parts, ...lines.slice(places.at(-1) ?? 0)].join("\n");
}
