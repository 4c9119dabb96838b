/** Runs tasks by length and method: what `ruler`, `needle`, `longbench` and `reasoning` have in common. */
import { openBackend, BadUsageError, type ModelBackend } from "@infllm/command";
import { inspectModel } from "@infllm/model";
import { environment } from "../results/environment.ts";
import { modelIdentity } from "../results/model-identity.ts";
import type { Figures } from "../results/record.ts";
import type { Cell } from "../results/run-cells.ts";
import { runPlan, type Session } from "../session.ts";
import { requireData } from "../tasks/data/files.ts";
import type { DataSource, PromptStyle, Task } from "../tasks/task.ts";
import { methodDefaults, methodModel, usualMethods } from "./fitting.ts";
import { MethodModels } from "./method-models.ts";
import { chooseMethods, optionsOf, type MethodChoice } from "./methods.ts";
import { scoreTask } from "./score-task.ts";

export interface TasksOptions {
  readonly model: string;
  /** All that suit the model when absent. */
  readonly methods?: readonly string[] | undefined;
  readonly backend: string;
  readonly threads?: number | undefined;
  readonly samples: number;
  /** Number of the first sample; 0 when absent. */
  readonly fromSample?: number | undefined;
  /** Tokens of prompt and answer; undefined runs every task at the length of its data. */
  readonly lengths?: readonly number[] | undefined;
  readonly style?: PromptStyle | undefined;
  readonly haystack?: string | undefined;
  /** Of tasks that read files. */
  readonly data: DataSource;
  readonly allowNetwork?: boolean | undefined;
  readonly maxAnswer?: number | undefined;
}

/** Room for prompts where no lengths are given, unless the model was trained for less. */
const usualContext = 32_768;

/** @throws BadUsageError for lengths that the model was not trained for; NotAvailableError for data that is not there */
export async function measureTasks(session: Session, suite: string, tasks: readonly Task[], options: TasksOptions): Promise<void> {
  await requireData(options.data, tasks);
  const description = await inspectModel(options.model, { signal: session.io.interrupts.signal });
  const { lengths } = options;
  requireLengths(lengths ?? [], description.trainedContext);
  const choices = chooseMethods(options.methods ?? (await usualMethods(options.model)), methodDefaults(description));
  const contextLength = lengths === undefined ? Math.min(usualContext, description.trainedContext) : Math.max(...lengths);
  const backend: ModelBackend = await openBackend(options.backend, { threads: options.threads });
  const models = new MethodModels({ backend, contextLength, source: (choice) => methodModel(options.model, choice) });
  try {
    const cells = choices.flatMap((choice) =>
      (lengths ?? [undefined]).flatMap((length) => tasks.map((task) => taskCell(task, choice, length, options, session.seed, models))),
    );
    const model = await modelIdentity(options.model);
    await runPlan(session, { suite, timed: false, model, environment: environment(backend), cells, describe });
  } finally {
    await models.close();
    await backend.close();
  }
}

function taskCell(
  task: Task,
  choice: MethodChoice,
  length: number | undefined,
  options: TasksOptions,
  seed: number,
  models: MethodModels,
): Cell {
  const { samples: count, fromSample: first = 0, style, haystack, data, allowNetwork, maxAnswer } = options;
  const config: Figures = {
    samples: count,
    ...(first > 0 && { fromSample: first }),
    options: optionsOf(choice),
    ...(style !== undefined && { style }),
    ...(haystack !== undefined && { haystackCharacters: haystack.length }),
    ...(data.kind === "path" && { data: data.path }),
    ...(maxAnswer !== undefined && { maxAnswer }),
  };
  return {
    cell: { task: task.name, ...(length !== undefined && { length }), method: choice.label },
    config,
    async run(context) {
      const model = await models.get(choice, context.signal);
      const given = {
        count,
        first,
        seed,
        data,
        ...(length !== undefined && { length }),
        ...(style !== undefined && { style }),
        ...(haystack !== undefined && { haystack }),
      };
      return scoreTask({ model, task, options: given, allowNetwork, maxAnswer }, context);
    },
  };
}

/** @throws BadUsageError */
export function requireLengths(lengths: readonly number[], trainedContext: number): void {
  const wrong = lengths.find((length) => length > trainedContext);
  if (wrong === undefined) return;
  throw new BadUsageError(`--lengths has ${wrong}, but the model was trained for ${trainedContext} tokens; longer texts would measure nothing.`);
}

function describe({ score, samples }: Figures): string {
  return typeof score === "number" ? `${score.toFixed(1)} of 100 (${String(samples)} ${samples === 1 ? "sample" : "samples"})` : "";
}
