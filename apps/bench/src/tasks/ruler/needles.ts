/** Needles in a haystack: RULER's eight retrieval tasks are settings of this one (paper, section 3.1 and appendix B). */
import type { Random } from "@infllm/tensor";
import { distinct, sample, shuffled } from "../synthetic/draw.ts";
import { hideAtDepths, hideInLines, hideInProse, haystackWords, noise, sentencesOf } from "../synthetic/haystack.ts";
import { syntheticSamples } from "../synthetic/synthetic.ts";
import type { Draft } from "../synthetic/synthetic.ts";
import { compoundWord, digits, noun, uuid } from "../synthetic/words.ts";
import { meanScore } from "../task.ts";
import type { GenerationTask, TaskOptions, TaskPrompt } from "../task.ts";
import { matchAll } from "./score.ts";
import { needlePrompt } from "./templates.ts";
import { tinyNeedle } from "./tiny-templates.ts";

export interface NeedleSettings {
  readonly name: string;
  readonly family: "ruler" | "needle";
  readonly title: string;
  /** `noise`: one line of five sentences over and over; `prose`: a text; `needles`: lines like the needle, of other keys. */
  readonly haystack: "noise" | "prose" | "needles";
  readonly keys: "words" | "uuids";
  readonly values: "numbers" | "uuids";
  /** Keys hidden, values of each, and keys asked for. */
  readonly count: { readonly keys: number; readonly values: number; readonly asked: number };
}

/** One needle's key, its values and whether it is asked for. */
interface Entry {
  readonly key: string;
  readonly values: readonly string[];
}

/** How a style writes needles and the question. */
interface Wording {
  needle(key: string, value: string): string;
  prompt(context: string, asked: readonly string[]): TaskPrompt;
}

export function needleTask(settings: NeedleSettings): GenerationTask {
  const { name, family, title } = settings;
  const tiny = settings.keys === "words" && settings.values === "numbers";
  const task = { name, maxTokens: 128, styles: tiny ? (["benchmark", "tiny"] as const) : (["benchmark"] as const) };
  return {
    kind: "generation",
    name,
    family,
    title,
    metric: "string match (all)",
    styles: task.styles,
    aggregate: meanScore,
    score: matchAll,
    async open(options) {
      const prose = settings.haystack === "prose" ? await haystackWords(options.haystack) : [];
      return syntheticSamples(task, options, (from, index) => draft(settings, options, prose, from, index));
    },
  };
}

function draft(settings: NeedleSettings, options: TaskOptions, prose: readonly string[], from: Random, index: number): Draft {
  const { count } = settings;
  const tiny = options.style === "tiny";
  const key = (from: Random): string => (settings.keys === "uuids" ? uuid(from) : tiny ? noun(from) : compoundWord(from));
  const value = (from: Random): string => (settings.values === "uuids" ? uuid(from) : digits(from, 7));
  const wording = tiny ? tinyWording(count.values > 1) : rulerWording(settings);

  const values = distinct(count.keys * count.values, () => value(from));
  const entries = distinct(count.keys, () => key(from)).map((key, at): Entry => ({ key, values: values.slice(at * count.values, (at + 1) * count.values) }));
  const needles = shuffled(from, entries.flatMap(({ key, values }) => values.map((value) => wording.needle(key, value))));
  const asked = sample(from, entries, count.asked);
  const depth = settings.family === "needle" ? (options.depths ?? evenDepths)[index % (options.depths ?? evenDepths).length] : undefined;

  const context = (size: number, layout: Random): string => {
    if (settings.haystack === "prose") {
      const sentences = sentencesOf(prose, size);
      return depth === undefined ? hideInProse(layout, sentences, needles) : hideAtDepths(sentences, needles, needles.map(() => depth));
    }
    const other = (): string => wording.needle(unusedKey(layout, key, entries), value(layout));
    return hideInLines(layout, Array.from({ length: size }, settings.haystack === "noise" ? () => noise : other), needles);
  };
  const expected = asked.flatMap(({ values }) => values);
  return {
    expected,
    facts: ({ text }) => ({ depths: expected.map((value) => depthIn(text, value)), ...(depth === undefined ? {} : { depth }) }),
    minimum: settings.haystack === "prose" ? 1 : needles.length,
    prompt: (size, layout) => wording.prompt(context(size, layout), asked.map(({ key }) => key)),
  };
}

/** Where a value stands in a text: 0 at its start, 1 at its end, to three digits. */
function depthIn(text: string, value: string): number {
  return Number((text.indexOf(value) / text.length).toFixed(3));
}

/** Depths 0, 0.1, …, 1. */
const evenDepths: readonly number[] = Array.from({ length: 11 }, (_, step) => step / 10);

/** A distractor's key: it must not be one that the question asks for. */
function unusedKey(layout: Random, key: (from: Random) => string, entries: readonly Entry[]): string {
  for (;;) {
    const candidate = key(layout);
    if (!entries.some((entry) => entry.key === candidate)) return candidate;
  }
}

function rulerWording({ values, count }: NeedleSettings): Wording {
  const { needle, text, answerPrefix } = needlePrompt(values, count.values * count.asked);
  return {
    needle,
    prompt(context, asked) {
      const query = asked.length > 1 ? `${asked.slice(0, -1).join(", ")}, and ${asked.at(-1)}` : asked.join("");
      return { form: "chat", text: text(context, query), answerPrefix: answerPrefix(query) };
    },
  };
}

function tinyWording(severalValues: boolean): Wording {
  return {
    needle: tinyNeedle.needle,
    prompt(context, asked) {
      const keys = asked.length > 1 ? `${asked.slice(0, -1).join(", ")} and ${asked.at(-1)}` : asked.join("");
      const ask = asked.length > 1 ? tinyNeedle.each : severalValues ? tinyNeedle.allOf : tinyNeedle.one;
      return { form: "chat", text: ask(context, keys) };
    },
  };
}
