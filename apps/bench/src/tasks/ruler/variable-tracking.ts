/** RULER's variable tracking: chains of assignments between noise, one worked example before (paper, section 3.2). */
import type { Random } from "@infllm/tensor";
import { distinct, distinctBelow, randomFor } from "../synthetic/draw.ts";
import { largestThatFits } from "../synthetic/fill.ts";
import { hideInLines, noise } from "../synthetic/haystack.ts";
import { syntheticSamples } from "../synthetic/synthetic.ts";
import type { Draft } from "../synthetic/synthetic.ts";
import { digits, letters } from "../synthetic/words.ts";
import { meanScore } from "../task.ts";
import type { GenerationTask, TaskTokenizer } from "../task.ts";
import { matchAll } from "./score.ts";
import { variableTracking as wording } from "./templates.ts";
import { tinyVariables } from "./tiny-templates.ts";

const task = { name: "vt", maxTokens: 30, styles: ["benchmark", "tiny"] } as const;
/** Assignments of a variable to another behind the first, which holds the number: five variables in all. */
const hops = 4;
/** The worked example's length in tokens. */
const exampleTokens = 500;

/** Five names that hold one number, and the lines that say so in order. */
interface Chain {
  readonly value: string;
  readonly names: readonly string[];
  readonly lines: readonly string[];
}

export const variableTracking: GenerationTask = {
  kind: "generation",
  name: task.name,
  family: "ruler",
  title: "Variable tracking: one chain of four hops in noise",
  metric: "string match (all)",
  styles: task.styles,
  aggregate: meanScore,
  score: matchAll,
  async open(options) {
    const { tokenizer } = options;
    return syntheticSamples(task, options, (from) => (options.style === "tiny" ? tinyDraft(from) : rulerDraft(from, tokenizer)));
  },
};

function rulerDraft(from: Random, tokenizer: TaskTokenizer): Draft {
  const shown = chain(from, 3);
  const example = exampleText(from, shown, tokenizer);
  const { value, names, lines } = chain(from, 5);
  return {
    expected: names,
    minimum: lines.length,
    prompt: (size, layout) => ({
      form: "chat",
      text: `${example}\n\n${wording.text(noiseWith(layout, lines, size), value)}`,
      answerPrefix: wording.answerPrefix(value, names.length),
    }),
  };
}

/** The example with its answer, in as much noise as `exampleTokens` hold, but one line for each assignment at least. */
function exampleText(from: Random, { value, names, lines }: Chain, tokenizer: TaskTokenizer): string {
  const places = from.next();
  const text = (size: number): string =>
    wording.text(noiseWith(randomFor(places), lines, size), value) + wording.answerPrefix(value, names.length);
  const size = largestThatFits((size) => tokenizer.encode(text(size)).length, lines.length, exampleTokens) ?? lines.length;
  return `${text(size)} ${names.join(" ")}`;
}

function chain(from: Random, nameLength: number): Chain {
  const value = digits(from, 5);
  const names = distinct(hops + 1, () => letters(from, nameLength, "A"));
  // The space at the end of a copied variable's line is RULER's.
  const lines = names.map((name, at) => (at === 0 ? `VAR ${name} = ${value}` : `VAR ${name} = VAR ${names[at - 1]} `));
  return { value, names, lines };
}

function noiseWith(layout: Random, lines: readonly string[], size: number): string {
  return hideInLines(layout, Array.from({ length: size }, () => noise), lines);
}

/** The embedded model's wording: no example, and names such as `K07`, since it was trained on chats of this kind. */
function tinyDraft(from: Random): Draft {
  const value = digits(from, 5);
  const names = distinctBelow(from, 2600, hops + 1).map((at) => `${String.fromCharCode(65 + Math.floor(at / 100))}${String(at % 100).padStart(2, "0")}`);
  const lines = names.map((name, at) => tinyVariables.assignment(name, at === 0 ? value : `VAR ${names[at - 1]}`));
  return {
    expected: names,
    minimum: lines.length,
    prompt: (size, layout) => ({ form: "chat", text: tinyVariables.text(noiseWith(layout, lines, size), value) }),
  };
}
