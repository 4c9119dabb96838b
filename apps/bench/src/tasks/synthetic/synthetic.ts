/** What synthetic tasks share: samples drawn from a seed, and a context as long as the tokens allow. */
import { ShapeError } from "@infllm/tensor";
import type { Random } from "@infllm/tensor";
import { checkedLength, requireIndex, requireStyle } from "../checks.ts";
import { promptIds } from "../task.ts";
import type { Facts, GenerationSample, PromptStyle, Samples, TaskOptions, TaskPrompt } from "../task.ts";
import { randomFor } from "./draw.ts";
import { largestThatFits } from "./fill.ts";

/** A sample whose facts are drawn and whose context has no size yet. */
export interface Draft {
  readonly expected: readonly string[];
  /** Smallest size of the context, in units of the task: words, lines, documents. */
  readonly minimum: number;
  /** The same facts in a context of a size. @param layout a fresh generator, the same for every size */
  prompt(size: number, layout: Random): TaskPrompt;
  /** What results should know about the finished prompt. */
  facts?(prompt: TaskPrompt): Facts;
}

export interface SyntheticTask {
  readonly name: string;
  readonly maxTokens: number;
  readonly styles: readonly PromptStyle[];
}

/**
 * Samples of a synthetic task. Those of one seed share their facts across lengths.
 * @param draft is given the sample's number among all of the seed
 */
export function syntheticSamples(task: SyntheticTask, options: TaskOptions, draft: (from: Random, number: number) => Draft): Samples<GenerationSample> {
  const length = checkedLength(task, options);
  requireStyle(task, options.style);
  return {
    count: options.count,
    source: "generated",
    at(index) {
      requireIndex(task, index, options.count);
      const number = (options.first ?? 0) + index;
      const drafted = draft(randomFor(options.seed, task.name, number), number);
      const layoutSeed = [options.seed, task.name, number, "layout"] as const;
      return fillSample(task, options, length, `${length}/${options.seed}/${number}`, drafted, () => randomFor(...layoutSeed));
    },
  };
}

function fillSample(task: SyntheticTask, { tokenizer }: TaskOptions, length: number, id: string, draft: Draft, layout: () => Random): GenerationSample {
  const count = (size: number): number => promptIds(tokenizer, draft.prompt(size, layout())).length;
  const size = largestThatFits(count, draft.minimum, length - task.maxTokens);
  if (size === undefined) {
    throw new ShapeError(
      `${task.name} does not fit ${length} tokens: its shortest prompt has ${count(draft.minimum)} with this tokenizer, and its answer may have ${task.maxTokens}. Give a larger length.`,
    );
  }
  const prompt = draft.prompt(size, layout());
  const facts = { length, promptTokens: promptIds(tokenizer, prompt).length, size, ...draft.facts?.(prompt) };
  return { id, prompt, maxTokens: task.maxTokens, stop: [], expected: draft.expected, facts };
}
