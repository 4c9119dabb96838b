/** Cells that say what InfLLM-V2's selection reaches of dense attention: on passages of a book, and where tasks are answered. */
import { selectionProbe } from "@infllm/attention/measure";
import { blockBudget, sparseConfig, type SparseConfig } from "@infllm/block-selection";
import type { ModelBackend } from "@infllm/command";
import { loadModel, type Model, type ModelDescription } from "@infllm/model";
import type { Passages } from "../quality/passages.ts";
import type { Figures } from "../results/record.ts";
import type { Cell, CellContext } from "../results/run-cells.ts";
import { promptIds, type GenerationTask, type PromptStyle } from "../tasks/task.ts";
import { spread } from "./distributions.ts";
import { choosingPairs, choosingPositions, SelectionFigures } from "./selections.ts";

export interface SelectionPlan {
  readonly model: string;
  readonly description: ModelDescription;
  readonly lengths: readonly number[];
  readonly backend: ModelBackend;
  readonly contextLength: number;
}

export interface PassagePlan extends SelectionPlan {
  readonly passages: Passages;
  /** Pairs of neighbouring queries of each passage. */
  readonly pairs: number;
  /** Positions of each passage whose distributions are compared: their queries are looked at, too. */
  readonly positions: number;
}

export interface AnswerPlan extends SelectionPlan {
  readonly seed: number;
  readonly samples: number;
  readonly style: PromptStyle;
}

/** Tokens of an answer whose queries are looked at. */
const answerTokens = 24;

/** Lengths that leave nothing to choose have no cell. */
export function passageCells(plan: PassagePlan): Cell[] {
  const { lengths, pairs, positions, passages } = plan;
  const config = sparseOf(plan);
  const wantedOf = (length: number): Set<number> => new Set([...choosingPairs(length, pairs, config), ...choosingPositions(spread(length, positions), config)]);
  return lengths.filter((length) => wantedOf(length).size > 0).map((length): Cell => ({
    cell: { measure: "selection", length },
    config: { ...passages.config, pairs, positions, ...sizes(config) },
    async run(context) {
      const wanted = wantedOf(length);
      return probed(plan, (position) => wanted.has(position), context, async (model, next) => {
        const texts = await passages.of(model, length);
        for (const [index, ids] of texts.entries()) {
          await model.score(ids, { positions: [ids.length - 1], signal: context.signal });
          next();
          context.progress("", index + 1, texts.length, "samples");
        }
      });
    },
  }));
}

/** The queries that write the answer to a task, under full attention: what they need is what a task needs. */
export function answerCells(plan: AnswerPlan, tasks: readonly GenerationTask[]): Cell[] {
  const { lengths, samples: count, seed, style } = plan;
  const config = sparseOf(plan);
  const choosing = lengths.filter((length) => length > blockBudget(config) * config.blockSize);
  return tasks.flatMap((task) => choosing.map((length): Cell => ({
    cell: { measure: "answers", task: task.name, length },
    config: { samples: count, style, ...sizes(config) },
    async run(context) {
      let from = Infinity;
      return probed(plan, (position) => position >= from && position < from + answerTokens, context, async (model, next) => {
        const { tokenizer, contextLength } = model;
        const samples = await task.open({ tokenizer, contextLength, length, count, seed, style });
        for (let index = 0; index < samples.count; index++) {
          const sample = samples.at(index);
          const ids = promptIds(tokenizer, sample.prompt);
          from = ids.length - 1;
          const answer = model.generate(ids, { maxTokens: Math.min(sample.maxTokens, answerTokens), temperature: 0, signal: context.signal });
          while ((await answer.next()).done !== true);
          next();
          context.progress("", index + 1, samples.count, "samples");
        }
      });
    },
  })));
}

/** Figures of what the wanted queries of a dense model select while `read` has it read texts; `next` after each. */
async function probed(
  plan: SelectionPlan,
  wants: (position: number) => boolean,
  { signal }: CellContext,
  read: (model: Model, next: () => void) => Promise<void>,
): Promise<Figures> {
  const { description, backend, contextLength } = plan;
  const config = sparseOf(plan);
  const figures = new SelectionFigures(description.layers, description.heads, config);
  let text = 0;
  const method = selectionProbe({ config, wants, onSample: (sample) => figures.add(text, sample) });
  const model = await loadModel(plan.model, { backend, contextLength, method, signal });
  try {
    await read(model, () => void text++);
  } finally {
    await model.close();
  }
  return figures.figures();
}

function sparseOf({ description }: SelectionPlan): SparseConfig {
  return description.sparse ?? sparseConfig();
}

function sizes(config: SparseConfig): { readonly blocks: number; readonly blockSize: number } {
  return { blocks: blockBudget(config), blockSize: config.blockSize };
}
